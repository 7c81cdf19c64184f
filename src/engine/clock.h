// The engine's source of time, which tests replace.
#pragma once

#include <chrono>
#include <functional>

namespace easel {

using TimePoint = std::chrono::steady_clock::time_point;
/// Returns the present time. Thread-safe; never goes back.
using Clock = std::function<TimePoint()>;

inline double seconds_between(TimePoint from, TimePoint to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace easel
