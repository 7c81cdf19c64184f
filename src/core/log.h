// The logging facade. spdlog stays behind it: its fmt and the one in libtorch's headers do not mix.
#pragma once

#include <string>
#include <string_view>

namespace easel::log {

enum class Level { kDebug, kInfo, kWarning, kError, kOff };

/// @throws Error(kInvalidArgument)  not one of debug, info, warning, error, off
Level parse_level(std::string_view name);
void set_level(Level level);

/// One line to standard error. Thread-safe. Control characters in `message` are written escaped, so that no request can
/// forge a line. Prompt text belongs at debug level only.
void debug(std::string_view message);
void info(std::string_view message);
void warning(std::string_view message);
void error(std::string_view message);

}  // namespace easel::log
