// Typed, strict reading of a request's JSON fields. Every error names the field as the client wrote it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/wire/http_error.h"

namespace easel::http {

/// A 400 with this field as its param.
HttpFailure field_error(const std::string& field, std::string code, std::string message);

/// The fields of one JSON object, which must outlive it. null means absent throughout.
class Fields {
 public:
  explicit Fields(const nlohmann::json& object) : object_(object) {}

  /// The field, or nullptr when absent or null.
  const nlohmann::json* find(const char* field) const;
  bool is_null(const char* field) const;

  /// @throws HttpFailure(400)  code invalid_type: of another type
  std::optional<std::string> string(const char* field) const;
  std::optional<bool> boolean(const char* field) const;
  /// Accepts 2.0 as 2, since JSON has one type of number. @throws also integer_below_min_value, integer_above_max_value
  std::optional<std::int64_t> integer(const char* field, std::int64_t min, std::int64_t max) const;
  /// @throws also decimal_below_min_value, decimal_above_max_value
  std::optional<double> number(const char* field, double min, double max) const;
  /// @throws also invalid_value: not one of `choices`
  std::optional<std::string> choice(const char* field, const std::vector<std::string>& choices) const;
  /// @throws also string_above_max_length, counted in code points
  std::optional<std::string> text(const char* field, std::size_t max_chars) const;
  /// An array of numbers. @throws also empty_array, array_above_max_length; an error in one entry names it: "field[3]"
  std::optional<std::vector<double>> numbers(const char* field, std::size_t max_count, double min, double max) const;

 private:
  const nlohmann::json& object_;
};

/// A 400 with code invalid_type that says what was expected and found.
HttpFailure wrong_type(const std::string& field, const char* expected, const nlohmann::json& found);

/// Checks that a value is an array with 1 to max_count entries.
/// @throws HttpFailure(400)  invalid_type, empty_array, array_above_max_length
void check_array(const char* field, const nlohmann::json& value, std::size_t max_count);

/// Checks a number's range. @throws HttpFailure(400)  as Fields::integer
void check_range(const std::string& field, double value, double min, double max, const char* kind);

}  // namespace easel::http
