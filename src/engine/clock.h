// Where the engine's time comes from, so that tests can bring their own.
#pragma once

#include <chrono>
#include <functional>

namespace easel {

using TimePoint = std::chrono::steady_clock::time_point;
/// What time it is. Thread-safe, never goes back.
using Clock = std::function<TimePoint()>;

inline double seconds_between(TimePoint from, TimePoint to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace easel
