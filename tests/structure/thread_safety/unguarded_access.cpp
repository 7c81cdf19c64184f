// Must not compile with -Wthread-safety -Werror while EASEL_FORGET_THE_LOCK is defined, and must compile without it.
// This proves that the annotations of core/mutex.h reach clang's analysis.
#include "core/mutex.h"

namespace easel {

class Counter {
 public:
  void increment() {
#ifndef EASEL_FORGET_THE_LOCK
    const MutexLock lock(mutex_);
#endif
    ++count_;
  }

 private:
  Mutex mutex_;
  int count_ EASEL_GUARDED_BY(mutex_) = 0;
};

void use_counter() {
  Counter().increment();
}

}  // namespace easel
