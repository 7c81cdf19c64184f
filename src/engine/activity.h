// What the thread of a loop is doing, for the watchdog.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "core/mutex.h"
#include "engine/device/clock.h"

namespace easel {

/// Written by the loop's thread, read by any other one. Thread-safe.
class Activity {
 public:
  explicit Activity(Clock now) : now_(std::move(now)) {}

  /// The loop begins a turn.
  void turned();
  /// The work of the turn has progressed: another block of a model has been computed.
  void progressed();
  /// The loop waits, because it has no work.
  void rested();
  /// @param what  a verb and its object, e.g. "step of model emoji"
  void doing(std::string what);

  struct Busy {
    double seconds;    ///< since the latest turn began, or its work last progressed
    std::string what;  ///< of that turn
  };
  /// None while the loop waits.
  std::optional<Busy> busy() const;

 private:
  const Clock now_;
  mutable Mutex mutex_;
  std::optional<TimePoint> moved_at_ EASEL_GUARDED_BY(mutex_);
  std::string what_ EASEL_GUARDED_BY(mutex_);
};

}  // namespace easel
