// The engine's source of time, which tests replace.
#pragma once

#include <chrono>
#include <functional>

namespace easel {

using TimePoint = std::chrono::steady_clock::time_point;
/// Returns the present time. Thread-safe; never goes back.
using Clock = std::function<TimePoint()>;

/// Longer waits are cut to this one, because they would overflow the clock.
constexpr std::chrono::milliseconds kMaxWait = std::chrono::hours(24 * 365);

inline double seconds_between(TimePoint from, TimePoint to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace easel
