// Lets few threads at a time do what takes much memory.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>

namespace easel::http {

/// Thread-safe.
class Turnstile {
 public:
  explicit Turnstile(std::size_t places) : free_(places) {}

  /// A place, while it lives.
  class Pass {
   public:
    explicit Pass(Turnstile& turnstile) : turnstile_(turnstile) {}
    ~Pass() { turnstile_.leave(); }
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;

   private:
    Turnstile& turnstile_;
  };

  /// Waits for a place.
  Pass enter() {
    std::unique_lock lock(mutex_);
    freed_.wait(lock, [this] { return free_ > 0; });
    --free_;
    return Pass(*this);
  }

 private:
  void leave() {
    {
      const std::lock_guard lock(mutex_);
      ++free_;
    }
    freed_.notify_one();
  }

  std::mutex mutex_;
  std::condition_variable freed_;
  std::size_t free_;  // guarded by mutex_
};

}  // namespace easel::http
