// The only user of spdlog.
#include "core/log.h"

#include <spdlog/details/os.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <mutex>
#include <nlohmann/json.hpp>

#include "core/background_log.h"
#include "core/log_output.h"
#include "core/text.h"
#include "core/visible_text.h"
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

// Of the lines that wait for the reader of the log: some ten thousand lines.
constexpr std::size_t kMaxWaitingBytes = std::size_t{2} << 20;
constexpr std::chrono::seconds kMaxFinalWait{1};

void report_dropped(std::uint64_t lines) {
  warning("log lines were dropped, because the reader of the log did not take them", {{"lines", lines}});
}

// Never destroyed, because threads may still log while the program ends.
LogOutput& output() {
  static auto* const instance = new LogOutput(STDERR_FILENO, kMaxWaitingBytes, &report_dropped);
  return *instance;
}

// Formats lines for standard error; the level is coloured on a terminal.
class ErrorSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  ErrorSink() : coloured_(spdlog::details::os::in_terminal(stderr) && spdlog::details::os::is_color_terminal()) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t buffer;
    base_sink<std::mutex>::formatter_->format(message, buffer);
    std::string line(buffer.data(), buffer.size());
    if (coloured_ && message.color_range_end > message.color_range_start) {
      line.insert(message.color_range_end, kPlain);
      line.insert(message.color_range_start, colour_of(message.level));
    }
    output().write(std::move(line));
  }
  void flush_() override {}

 private:
  static constexpr const char* kPlain = "\033[m";

  static const char* colour_of(spdlog::level::level_enum level) {
    if (level >= spdlog::level::err) return "\033[31m\033[1m";      // bold red
    if (level == spdlog::level::warn) return "\033[33m\033[1m";     // bold yellow
    return level == spdlog::level::info ? "\033[32m" : "\033[36m";  // green, cyan
  }

  const bool coloured_;
};

spdlog::logger& logger() {
  static const auto instance = [] {
    auto made = std::make_shared<spdlog::logger>("easel", std::make_shared<ErrorSink>());
    made->set_pattern(kTextPattern);
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
  return visible_text(line);
}

// Without the braces, which are in the pattern together with the members that spdlog fills in.
std::string format_json_members(std::string_view message, const Fields& fields) {
  nlohmann::ordered_json object = {{"message", message}};
  for (const auto& field : fields) {
    std::visit([&](const auto& value) { object[field.name] = value; }, field.value);
  }
  // Invalid UTF-8 becomes U+FFFD.
  const auto text =
      visible_json(object.dump(-1, ' ', /*ensure_ascii=*/false, nlohmann::ordered_json::error_handler_t::replace));
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

BackgroundLog::BackgroundLog() {
  output().start();
}

BackgroundLog::~BackgroundLog() {
  flush_background();
}

void flush_background() {
  output().stop(kMaxFinalWait);
}

std::uint64_t dropped_lines() {
  return output().dropped();
}

}  // namespace easel::log
