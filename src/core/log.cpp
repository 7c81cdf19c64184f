// The only user of spdlog.
#include "core/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include "core/text.h"
#include "easel/error.h"

namespace easel::log {
namespace {

constexpr const char* kNames[] = {"debug", "info", "warning", "error", "off"};
constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::debug, spdlog::level::info, spdlog::level::warn,
                                                 spdlog::level::err, spdlog::level::off};

spdlog::logger& logger() {
  static const auto instance = [] {
    auto made = std::make_shared<spdlog::logger>("easel", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    made->set_pattern("%Y-%m-%d %H:%M:%S.%e %^%l%$ %v");
    made->flush_on(spdlog::level::debug);
    return made;
  }();
  return *instance;
}

std::string escaped(std::string_view message) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string line;
  line.reserve(message.size());
  for (const unsigned char c : message) {
    if (c >= 0x20 && c != 0x7f) {
      line += static_cast<char>(c);
    } else {
      line += {'\\', 'x', kHex[c >> 4], kHex[c & 15]};
    }
  }
  return line;
}

void write(Level level, std::string_view message) {
  const auto spd_level = kLevels[static_cast<int>(level)];
  if (logger().should_log(spd_level)) logger().log(spd_level, spdlog::string_view_t("{}"), escaped(message));
}

}  // namespace

Level parse_level(std::string_view name) {
  for (int i = 0; i < 5; ++i) {
    if (name == kNames[i]) return static_cast<Level>(i);
  }
  throw Error(ErrorCode::kInvalidArgument,
              concat("log level `", name, "` is unknown; expected debug, info, warning, error or off"));
}

void set_level(Level level) { logger().set_level(kLevels[static_cast<int>(level)]); }

void debug(std::string_view message) { write(Level::kDebug, message); }
void info(std::string_view message) { write(Level::kInfo, message); }
void warning(std::string_view message) { write(Level::kWarning, message); }
void error(std::string_view message) { write(Level::kError, message); }

}  // namespace easel::log
