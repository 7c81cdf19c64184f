// The members of A1111's requests that have a meaning here, one row each. The reader of bodies and the description of
// the routes follow from these rows.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string_view>

namespace easel::http::sdapi {

/// Which requests have a member.
enum class MemberOf { kDrawing, kFromImage, kUpscaling, kOptions };

struct Member {
  const char* name;
  const char* schema;         ///< JSON Schema, with `examples`, as JSON text
  const char* documentation;  ///< one line
  MemberOf of = MemberOf::kDrawing;
};

std::span<const Member> members();

/// Whether there is a row of that name.
bool is_member(std::string_view name);

/// Whether the member changes nothing here, whatever its value is: files that A1111 would write, other programs' own
/// members, and details of members that have an effect only together with another one.
bool has_no_effect(const Member& member);

/// The components that describe the bodies and the answers of these routes.
nlohmann::ordered_json member_schemas();

}  // namespace easel::http::sdapi
