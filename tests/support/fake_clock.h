// A clock that a test moves.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <utility>

namespace easel::testing {

/// Events happen at their times, in order, while the clock is moved forward. Not thread-safe.
class FakeClock {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  TimePoint now() const { return now_; }
  void at(TimePoint time, std::function<void()> event) { events_.emplace(time, std::move(event)); }
  std::optional<TimePoint> next_event() const {
    return events_.empty() ? std::nullopt : std::optional(events_.begin()->first);
  }

  /// Only forward. An event may add other events, but must not move the clock.
  void advance_to(TimePoint time) {
    while (!events_.empty() && events_.begin()->first <= time) {
      const auto event = events_.extract(events_.begin());
      if (event.key() > now_) now_ = event.key();
      event.mapped()();
    }
    if (time > now_) now_ = time;
  }

 private:
  TimePoint now_ = TimePoint(std::chrono::hours(1));
  std::multimap<TimePoint, std::function<void()>> events_;  // events of the same time happen in order of arrival
};

}  // namespace easel::testing
