// The only user of spdlog.
#include "core/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/text.h"
#include "easel/error.h"

namespace easel::log {
namespace {

constexpr const char* kLevelNames[] = {"debug", "info", "warning", "error", "off"};
constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::debug, spdlog::level::info, spdlog::level::warn,
                                                 spdlog::level::err, spdlog::level::off};
constexpr const char* kTextPattern = "%Y-%m-%d %H:%M:%S.%e %^%l%$ %v";
// %v stands for the object's other members.
constexpr const char* kJsonPattern = R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l",%v})";

std::atomic<Format> current_format = Format::kText;

spdlog::logger& logger() {
  static const auto instance = [] {
    auto made = std::make_shared<spdlog::logger>("easel", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    made->set_pattern(kTextPattern);
    made->flush_on(spdlog::level::debug);
    return made;
  }();
  return *instance;
}

// Quotes a value whose end would otherwise be ambiguous.
std::string quote_if_needed(const std::string& text) {
  const bool plain = !text.empty() && text.find_first_of(" \"=\\") == std::string::npos;
  if (plain) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

// Ten significant digits, e.g. hours to the millisecond, without trailing zeros.
std::string format_number(double number) {
  std::array<char, 32> text{};
  const auto length = std::snprintf(text.data(), text.size(), "%.10g", number);
  return std::string(text.data(), static_cast<std::size_t>(std::max(length, 0)));
}

std::string format_value(const Field::Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return quote_if_needed(*text);
  if (const auto* number = std::get_if<double>(&value)) return format_number(*number);
  return std::to_string(std::get<std::int64_t>(value));
}

std::string format_text_line(std::string_view message, const Fields& fields) {
  std::string line(message);
  for (const auto& field : fields) line += concat(line.empty() ? "" : " ", field.name, "=", format_value(field.value));
  return escape_control_characters(line);
}

// Without the braces, which are in the pattern together with the members that spdlog fills in.
std::string format_json_members(std::string_view message, const Fields& fields) {
  nlohmann::ordered_json object = {{"message", message}};
  for (const auto& field : fields) {
    std::visit([&](const auto& value) { object[field.name] = value; }, field.value);
  }
  // Invalid UTF-8 becomes U+FFFD. DEL is legal in JSON, but a terminal might act on it.
  auto text = object.dump(-1, ' ', /*ensure_ascii=*/false, nlohmann::ordered_json::error_handler_t::replace);
  for (auto at = text.find('\x7f'); at != std::string::npos; at = text.find('\x7f', at)) text.replace(at, 1, "\\u007f");
  return text.substr(1, text.size() - 2);
}

void write(Level level, std::string_view message, const Fields& fields) {
  const auto spd_level = kLevels[static_cast<int>(level)];
  if (!logger().should_log(spd_level)) return;
  const auto line =
      current_format == Format::kJson ? format_json_members(message, fields) : format_text_line(message, fields);
  logger().log(spd_level, spdlog::string_view_t("{}"), line);
}

}  // namespace

Level parse_level(std::string_view name) {
  for (int i = 0; i < 5; ++i) {
    if (name == kLevelNames[i]) return static_cast<Level>(i);
  }
  throw Error(ErrorCode::kInvalidArgument,
              concat("log level `", name, "` is unknown; expected debug, info, warning, error or off"));
}

void set_level(Level level) {
  logger().set_level(kLevels[static_cast<int>(level)]);
}

Format parse_format(std::string_view name) {
  if (name == "text") return Format::kText;
  if (name == "json") return Format::kJson;
  throw Error(ErrorCode::kInvalidArgument, concat("log format `", name, "` is unknown; expected text or json"));
}

void set_format(Format format) {
  logger().set_pattern(format == Format::kJson ? kJsonPattern : kTextPattern);
  current_format = format;
}

void debug(std::string_view message, const Fields& fields) {
  write(Level::kDebug, message, fields);
}
void info(std::string_view message, const Fields& fields) {
  write(Level::kInfo, message, fields);
}
void warning(std::string_view message, const Fields& fields) {
  write(Level::kWarning, message, fields);
}
void error(std::string_view message, const Fields& fields) {
  write(Level::kError, message, fields);
}

}  // namespace easel::log
