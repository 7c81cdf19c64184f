// The thread on which models are loaded while the loop draws on.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace easel {

/// Runs tasks one after the other. Thread-safe. Ends with the tasks it has been given.
class Loader {
 public:
  Loader();
  ~Loader();
  /// @param task  must not throw
  void run(std::function<void()> task);

 private:
  void work();

  std::mutex mutex_;  // guards the two below
  std::condition_variable changed_;
  std::vector<std::function<void()>> tasks_;
  bool stopping_ = false;
  std::thread thread_;  // last: uses all of the above
};

}  // namespace easel
