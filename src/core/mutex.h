// Mutexes that clang's thread-safety analysis knows. libstdc++'s std::mutex carries no annotations, so the analysis
// would see neither what a mutex guards nor where it is held.
//
// Annotate every guarded member with EASEL_GUARDED_BY(mutex_) and every private function that expects the mutex to be
// held with EASEL_REQUIRES(mutex_). clang checks both with -Wthread-safety; gcc ignores them. See
// https://clang.llvm.org/docs/ThreadSafetyAnalysis.html.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define EASEL_THREAD_ATTRIBUTE(x) __attribute__((x))
#else
#define EASEL_THREAD_ATTRIBUTE(x)
#endif

/// This class is a lock.
#define EASEL_CAPABILITY(name) EASEL_THREAD_ATTRIBUTE(capability(name))
/// This class holds a lock from its construction to its destruction.
#define EASEL_SCOPED_CAPABILITY EASEL_THREAD_ATTRIBUTE(scoped_lockable)
/// This member may be touched only while the mutex is held.
#define EASEL_GUARDED_BY(mutex) EASEL_THREAD_ATTRIBUTE(guarded_by(mutex))
/// This function may be called only while the mutex is held.
#define EASEL_REQUIRES(...) EASEL_THREAD_ATTRIBUTE(requires_capability(__VA_ARGS__))
/// This function may be called only while the mutex is not held.
#define EASEL_EXCLUDES(...) EASEL_THREAD_ATTRIBUTE(locks_excluded(__VA_ARGS__))
/// This function takes the mutex, or the one of its object, and returns with it held.
#define EASEL_ACQUIRE(...) EASEL_THREAD_ATTRIBUTE(acquire_capability(__VA_ARGS__))
/// This function takes the mutex if it returns the given value.
#define EASEL_TRY_ACQUIRE(...) EASEL_THREAD_ATTRIBUTE(try_acquire_capability(__VA_ARGS__))
/// This function gives the mutex back.
#define EASEL_RELEASE(...) EASEL_THREAD_ATTRIBUTE(release_capability(__VA_ARGS__))

namespace easel {

class CondVar;

/// std::mutex with annotations. Hold it by a MutexLock.
class EASEL_CAPABILITY("mutex") Mutex {
 public:
  void lock() EASEL_ACQUIRE() { mutex_.lock(); }
  void unlock() EASEL_RELEASE() { mutex_.unlock(); }
  bool try_lock() EASEL_TRY_ACQUIRE(true) { return mutex_.try_lock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

/// Holds a Mutex for its own lifetime.
class EASEL_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) EASEL_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  /// Takes over a mutex that is held already, for example after try_lock().
  MutexLock(Mutex& mutex, std::adopt_lock_t) EASEL_REQUIRES(mutex) : mutex_(mutex) {}
  ~MutexLock() EASEL_RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

/// std::condition_variable for a Mutex. Waiting may end without a notification, so every wait stands in a loop that
/// tests its condition; such a loop, unlike a predicate in a lambda, is also visible to the analysis.
class CondVar {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// Releases the mutex while it waits for a notification, and holds it again when it returns.
  void wait(Mutex& mutex) EASEL_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();  // the caller goes on holding it
  }
  /// The same, until `time` at the latest. @return false when that time has come
  bool wait_until(Mutex& mutex, TimePoint time) EASEL_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    const auto status = condition_.wait_until(lock, time);
    lock.release();
    return status == std::cv_status::no_timeout;
  }
  void notify_one() { condition_.notify_one(); }
  void notify_all() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace easel
