#include "http/openai/fields/foreign_fields.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/text.h"
#include "http/wire/fields.h"

namespace easel::http {
namespace {

// OpenAI's fields that are about the client and not about the image.
constexpr std::string_view kWithoutEffect[] = {"user", "safety_identifier"};
// Images that other servers take on the route where easel takes none.
constexpr std::string_view kImages[] = {"image", "images", "init_images", "mask"};
// Prefixes of fields that steer the image in ways that easel does not have.
constexpr std::string_view kUnsupported[] = {"controlnet", "ip_adapter"};

template <class Names>
bool contains(const Names& names, std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

bool is_own(const RequestField* row, ImageTask task) {
  if (!row || row->origin == FieldOrigin::kForeign) return false;
  // An image is a foreign field where none is taken.
  return task != ImageTask::kGenerate || type_of(*row) != FieldType::kFile;
}

void check_supported(const std::string& name, ImageTask task) {
  if (task == ImageTask::kGenerate && contains(kImages, name)) {
    throw field_error(name, "unsupported_parameter",
                      concat("`", name, "` has no use on this route; send images to POST /v1/images/edits."));
  }
  const bool unsupported = std::any_of(std::begin(kUnsupported), std::end(kUnsupported),
                                       [&](std::string_view prefix) { return name.starts_with(prefix); });
  if (unsupported) {
    throw field_error(shortened(name), "unsupported_parameter",
                      concat("`", shortened(name), "` is not supported by this server."));
  }
}

}  // namespace

std::vector<std::string> sort_out_foreign_fields(nlohmann::json& body, ImageTask task) {
  std::vector<std::string> unknown;
  for (auto field = body.begin(); field != body.end();) {
    const auto* row = find_request_field(field.key());
    if (is_own(row, task)) {
      ++field;
    } else if (counts_as_absent(*field)) {
      field = body.erase(field);
    } else {
      check_supported(field.key(), task);
      if (!row && !contains(kWithoutEffect, field.key())) unknown.push_back(field.key());
      ++field;
    }
  }
  return unknown;
}

}  // namespace easel::http
