#include "http/openai/jobs/fingerprint.h"

#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "core/digest.h"
#include "core/text.h"

namespace easel::http {
namespace {

using nlohmann::json;

// Without null members; whole numbers as integers. Members are in the order of their names already.
json canonical(const json& value) {
  if (value.is_object()) {
    auto object = json::object();
    for (const auto& [name, member] : value.items()) {
      if (!member.is_null()) object[name] = canonical(member);
    }
    return object;
  }
  if (value.is_array()) {
    auto array = json::array();
    for (const auto& element : value) array.push_back(canonical(element));
    return array;
  }
  if (value.is_number_float()) {
    const auto number = value.get<double>();
    if (number == std::floor(number) && std::abs(number) < static_cast<double>(kLargestExactJsonInteger))
      return static_cast<std::int64_t>(number);
  }
  return value;
}

// With its length, so that no two lists of parts have the same bytes.
void add_part(std::string_view part, Digest& hash) {
  hash.update(std::to_string(part.size()) + ':');
  hash.update(part);
}

}  // namespace

std::string request_fingerprint(std::string_view route, const json& fields,
                                const std::vector<std::string_view>& files) {
  Digest hash;
  add_part(route, hash);
  add_part(canonical(fields).dump(), hash);
  for (const auto file : files) add_part(file, hash);
  return hash.finish();
}

}  // namespace easel::http
