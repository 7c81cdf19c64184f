// The thread that loads models, so that the loop's thread can go on generating meanwhile.
#pragma once

#include <functional>
#include <thread>
#include <vector>

#include "core/mutex.h"

namespace easel {

/// Runs tasks one after the other on a thread of its own. Thread-safe. The destructor waits until all tasks that were
/// given to it have run.
class Loader {
 public:
  Loader();
  ~Loader();
  /// @param task  must not throw
  void run(std::function<void()> task);

 private:
  void work();
  /// Blocks until there are tasks. @return none when the loader is being destroyed and nothing is left to run
  std::vector<std::function<void()>> next_tasks();

  Mutex mutex_;
  CondVar changed_;
  std::vector<std::function<void()>> tasks_ EASEL_GUARDED_BY(mutex_);
  bool stopping_ EASEL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: uses all of the above
};

}  // namespace easel
