// The threads that serve requests.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "http/transport/connection.h"

namespace easel::http {

/// Serves connections whose heads are complete, each on a thread of its own. Starts with a fixed number of threads and
/// makes more when all of them are busy, since a thread that only waits for a slow client costs some tens of kilobytes.
/// Thread-safe.
class WorkerPool {
 public:
  /// Called on a worker with one connection; must not throw.
  using Serve = std::function<void(std::unique_ptr<Connection> connection)>;

  explicit WorkerPool(Serve serve) : serve_(std::move(serve)) {}
  ~WorkerPool() { end(); }
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  /// @param count     threads to start with
  /// @param max       threads at most
  /// @param reserved  as many threads should be free for requests that are served without waiting for their clients
  /// @throws Error(kUnavailable)  the system has no `count` threads
  void start(std::size_t count, std::size_t max, std::size_t reserved);
  void submit(std::unique_ptr<Connection> connection);
  /// Returns when everything submitted has been served.
  void end();

  /// True while fewer threads than the reserve are free.
  bool is_scarce() const { return busy_ + reserved_ > max_; }
  /// True while connections wait for a thread.
  bool has_queue() const { return queued_ > 0; }

 private:
  void work();
  bool grow();

  const Serve serve_;
  std::size_t max_ = 0;
  std::size_t reserved_ = 0;
  std::atomic<std::size_t> busy_ = 0;    // connections that are queued or served
  std::atomic<std::size_t> queued_ = 0;  // of these, without a thread

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<std::unique_ptr<Connection>> queue_;
  std::size_t idle_ = 0;
  bool ended_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace easel::http
