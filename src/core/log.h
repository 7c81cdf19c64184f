// The logging facade. It hides spdlog, whose copy of fmt conflicts with the one in libtorch's headers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace easel::log {

enum class Level { kDebug, kInfo, kWarning, kError, kOff };

/// The format of a line.
enum class Format {
  kText,  ///< time, level, message, then `name=value` for each field; values with spaces or quotes are quoted
  kJson,  ///< one object per line: time (ISO 8601), level, message, then the fields; numbers stay numbers
};

/// A named value in a line, e.g. {"status", 200}. Names are lower case, without spaces; "time", "level" and "message"
/// are reserved.
struct Field {
  using Value = std::variant<std::string, std::int64_t, double>;

  Field(std::string field_name, std::string text) : name(std::move(field_name)), value(std::move(text)) {}
  Field(std::string field_name, const char* text) : name(std::move(field_name)), value(std::string(text)) {}
  template <class Number>
    requires std::is_arithmetic_v<Number>
  Field(std::string field_name, Number number) : name(std::move(field_name)), value(to_value(number)) {}

  std::string name;
  Value value;

 private:
  template <class Number>
  static Value to_value(Number number) {
    if constexpr (std::is_floating_point_v<Number>) {
      return static_cast<double>(number);
    } else {
      return static_cast<std::int64_t>(number);
    }
  }
};
using Fields = std::vector<Field>;

/// @throws Error(kInvalidArgument)  the name is not one of debug, info, warning, error and off
Level parse_level(std::string_view name);
void set_level(Level level);

/// @throws Error(kInvalidArgument)  the name is neither text nor json
Format parse_format(std::string_view name);
void set_format(Format format);

/// Each writes one line to standard error. Thread-safe. Control characters are escaped, so that a request cannot forge
/// a line. Prompts may be logged at debug level only.
void debug(std::string_view message, const Fields& fields = {});
void info(std::string_view message, const Fields& fields = {});
void warning(std::string_view message, const Fields& fields = {});
void error(std::string_view message, const Fields& fields = {});

}  // namespace easel::log
