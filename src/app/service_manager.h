// Messages to systemd, which starts easel as a service of Type=notify.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace easel {

/// Sends a message as sd_notify(3) describes, e.g. "READY=1", to the socket that NOTIFY_SOCKET names. Does nothing
/// without that variable, and when the socket does not take it. Thread-safe.
void notify_service_manager(const std::string& message);

/// How often the service manager wants a "WATCHDOG=1": half of WATCHDOG_USEC, as sd_watchdog_enabled(3) recommends.
/// None if it wants none from this process.
std::optional<std::chrono::microseconds> watchdog_interval();

}  // namespace easel
