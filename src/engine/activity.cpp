#include "engine/activity.h"

namespace easel {

void Activity::turned() {
  const MutexLock lock(mutex_);
  moved_at_ = now_();
  what_ = "wait for the device";
}

void Activity::progressed() {
  const MutexLock lock(mutex_);
  moved_at_ = now_();
}

void Activity::rested() {
  const MutexLock lock(mutex_);
  moved_at_.reset();
}

void Activity::doing(std::string what) {
  const MutexLock lock(mutex_);
  what_ = std::move(what);
}

std::optional<Activity::Busy> Activity::busy() const {
  const MutexLock lock(mutex_);
  if (!moved_at_) return std::nullopt;
  return Busy{.seconds = seconds_between(*moved_at_, now_()), .what = what_};
}

}  // namespace easel
