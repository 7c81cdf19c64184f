// Lenient reading of A1111's requests: numbers may be written as floats, anything may be null.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace easel::http::sdapi {

/// The members of a request's body. Which ones were read is remembered, so that the others can be named.
class Body {
 public:
  /// @param object  must outlive it
  explicit Body(const nlohmann::json& object) : object_(object) {}

  /// The member; null when it is absent or null. @throws std::logic_error  it has no row in members()
  const nlohmann::json* find(const char* name);
  /// @throws HttpFailure(422)  the member is of another type
  std::optional<std::string> text(const char* name);
  std::optional<double> number(const char* name);
  /// A number without its fraction.
  std::optional<std::int64_t> integer(const char* name);
  bool flag(const char* name, bool otherwise);

  /// The names of members that were not read and are not neutral: the image is made without them. Sorted.
  std::vector<std::string> unread() const;

 private:
  const nlohmann::json& object_;
  std::set<std::string> read_;
};

/// Whether a value says nothing: null, false, 0, "", [], {}.
bool is_neutral(const nlohmann::json& value);

}  // namespace easel::http::sdapi
