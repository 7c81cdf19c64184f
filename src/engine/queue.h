// Where accepted requests wait. The engine's one seam: a queue between machines would take this one's place.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "easel/generation.h"
#include "engine/failure.h"
#include "engine/job.h"

namespace easel {

/// Bounded, first in first out. Counts a request from acceptance to its end, so the bound holds for what is waiting and
/// what is being drawn together. Thread-safe; jobs may outlive it.
class Queue : public std::enable_shared_from_this<Queue> {
 public:
  explicit Queue(std::size_t max_unended) : max_unended_(max_unended) {}

  /// @throws Error(kResourceExhausted)  full
  /// @throws Error(kUnavailable)        closed
  std::shared_ptr<QueuedJob> submit(GenerationRequest request);

  /// Refuses new requests from now on.
  void close();
  /// Returns when no accepted request is without an answer and the drawing thread is back in wait_for_work.
  void wait_until_idle();
  /// Closes, ends every request with `failure` and makes wait_for_work return false.
  void abort(const Failure& failure);

  // For the drawing thread.

  /// The oldest waiting request; null when none waits, and after abort().
  std::shared_ptr<QueuedJob> try_take();
  /// Sleeps until a request waits. @return false after abort()
  bool wait_for_work();

 private:
  void leave(const QueuedJob& job);  ///< the job has ended

  const std::size_t max_unended_;

  mutable std::mutex mutex_;  // guards what follows; no job's lock is taken under it
  std::condition_variable work_came_;
  std::condition_variable became_idle_;
  std::vector<std::shared_ptr<QueuedJob>> waiting_;  // oldest first
  std::vector<std::shared_ptr<QueuedJob>> taken_;    // not ended yet
  std::uint64_t next_number_ = 0;
  bool closed_ = false;
  bool aborted_ = false;
  bool drawing_ = false;  // between try_take and wait_for_work
};

}  // namespace easel
