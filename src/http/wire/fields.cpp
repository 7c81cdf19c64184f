// Typed reading of JSON fields.
#include "http/wire/fields.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/text.h"

namespace easel::http {
namespace {

using nlohmann::json;

const char* type_in_words(const json& value) {
  switch (value.type()) {
    case json::value_t::null:
      return "null";
    case json::value_t::boolean:
      return "a boolean";
    case json::value_t::number_integer:
    case json::value_t::number_unsigned:
      return "an integer";
    case json::value_t::number_float:
      return "a decimal number";
    case json::value_t::string:
      return "a string";
    case json::value_t::array:
      return "an array";
    default:
      return "an object";
  }
}

}  // namespace

HttpFailure field_error(const std::string& field, std::string code, std::string message) {
  return HttpFailure({.message = std::move(message), .param = field, .code = std::move(code)});
}

HttpFailure wrong_type(const std::string& field, const char* expected, const json& found) {
  return field_error(field, "invalid_type",
                     concat("`", field, "` must be ", expected, ", but it is ", type_in_words(found), "."));
}

void check_range(const std::string& field, double value, double min, double max, const char* kind) {
  const bool below = value < min;
  if (!below && value <= max) return;
  throw field_error(field, concat(kind, below ? "_below_min_value" : "_above_max_value"),
                    concat("`", field, "` must be from ", std::llround(min), " to ", std::llround(max), "."));
}

const json* Fields::find(const char* field) const {
  const auto found = object_.find(field);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

bool Fields::is_null(const char* field) const {
  const auto found = object_.find(field);
  return found != object_.end() && found->is_null();
}

std::optional<std::string> Fields::string(const char* field) const {
  const auto* value = find(field);
  if (!value) return std::nullopt;
  if (!value->is_string()) throw wrong_type(field, "a string", *value);
  return value->get<std::string>();
}

std::optional<bool> Fields::boolean(const char* field) const {
  const auto* value = find(field);
  if (!value) return std::nullopt;
  if (!value->is_boolean()) throw wrong_type(field, "a boolean", *value);
  return value->get<bool>();
}

std::optional<std::int64_t> Fields::integer(const char* field, std::int64_t min, std::int64_t max) const {
  const auto* value = find(field);
  if (!value) return std::nullopt;
  if (!value->is_number()) throw wrong_type(field, "an integer", *value);
  // Digits that no 64-bit integer holds arrive as a double, so the range is checked before any conversion.
  const auto approximate = value->get<double>();
  if (approximate != std::floor(approximate)) throw wrong_type(field, "an integer", *value);
  check_range(field, approximate, static_cast<double>(min), static_cast<double>(max), "integer");
  return static_cast<std::int64_t>(approximate);
}

std::optional<double> Fields::number(const char* field, double min, double max) const {
  const auto* value = find(field);
  if (!value) return std::nullopt;
  if (!value->is_number()) throw wrong_type(field, "a number", *value);
  check_range(field, value->get<double>(), min, max, "decimal");
  return value->get<double>();
}

std::optional<std::string> Fields::choice(const char* field, const std::vector<std::string>& choices) const {
  auto value = string(field);
  if (value && std::find(choices.begin(), choices.end(), *value) == choices.end()) {
    throw field_error(field, "invalid_value",
                      concat("`", field, "` is ", quote(*value), "; expected one of: ", join(choices), "."));
  }
  return value;
}

std::optional<std::string> Fields::text(const char* field, std::size_t max_chars) const {
  auto value = string(field);
  if (value && count_code_points(*value) > max_chars) {
    throw field_error(
        field, "string_above_max_length",
        concat("`", field, "` has ", count_code_points(*value), " characters; at most ", max_chars, " are allowed."));
  }
  return value;
}

void check_array(const char* field, const json& value, std::size_t max_count) {
  if (!value.is_array()) throw wrong_type(field, "an array", value);
  if (value.empty()) throw field_error(field, "empty_array", concat("`", field, "` is empty."));
  if (value.size() > max_count) {
    throw field_error(field, "array_above_max_length",
                      concat("`", field, "` has ", value.size(), " entries; at most ", max_count, " are allowed."));
  }
}

std::optional<std::vector<double>> Fields::numbers(const char* field, std::size_t max_count, double min,
                                                   double max) const {
  const auto* value = find(field);
  if (!value) return std::nullopt;
  std::vector<double> numbers;
  check_array(field, *value, max_count);
  for (const auto& entry : *value) {
    const auto name = concat(field, "[", numbers.size(), "]");
    if (!entry.is_number()) throw wrong_type(name, "a number", entry);
    check_range(name, entry.get<double>(), min, max, "decimal");
    numbers.push_back(entry.get<double>());
  }
  return numbers;
}

}  // namespace easel::http
