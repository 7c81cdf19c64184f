// The logging facade. spdlog stays behind it: its fmt and the one in libtorch's headers do not mix.
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

/// How a line is written.
enum class Format {
  kText,  ///< time, level, message, then `name=value` for each field; a value with spaces or quotes is quoted
  kJson,  ///< one object a line: time (ISO 8601), level, message, then the fields, numbers as numbers
};

/// A named value that belongs to a line, e.g. {"status", 200}. Names are lower case, without spaces, and none of
/// "time", "level", "message".
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

/// @throws Error(kInvalidArgument)  not one of debug, info, warning, error, off
Level parse_level(std::string_view name);
void set_level(Level level);

/// @throws Error(kInvalidArgument)  neither text nor json
Format parse_format(std::string_view name);
void set_format(Format format);

/// One line to standard error. Thread-safe. Control characters are written escaped, so that no request can forge a
/// line. Prompt text belongs at debug level only.
void debug(std::string_view message, const Fields& fields = {});
void info(std::string_view message, const Fields& fields = {});
void warning(std::string_view message, const Fields& fields = {});
void error(std::string_view message, const Fields& fields = {});

}  // namespace easel::log
