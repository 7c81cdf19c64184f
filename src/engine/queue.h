// Where accepted requests wait. The engine's one seam: a queue between machines would take this one's place.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "easel/engine.h"
#include "engine/clock.h"
#include "engine/failure.h"
#include "engine/job.h"

namespace easel {

/// Bounded by number, by estimated work and by account. Counts a request from acceptance to its end, so the bounds hold
/// for what is waiting and what is being drawn together. Thread-safe; jobs may outlive it.
class Queue : public std::enable_shared_from_this<Queue> {
 public:
  struct Limits {
    std::size_t max_unended = 64;
    double max_seconds = 0;  ///< of estimated work; 0: no limit
  };
  /// @param observer  may be null
  explicit Queue(Limits limits, Clock now = std::chrono::steady_clock::now,
                 std::shared_ptr<EngineObserver> observer = nullptr);

  /// @param estimate  device time the request will need, in seconds
  /// @throws Error(kResourceExhausted)  full, too much work, or the account's limit
  /// @throws Error(kUnavailable)        closed
  std::shared_ptr<QueuedJob> submit(GenerationRequest request, SubmitOptions options, double estimate);

  /// Seconds until a request that is refused now is likely to be accepted. Above 0.
  double estimated_wait() const;

  /// Refuses new requests from now on.
  void close();
  bool closed() const;
  /// Returns true when no accepted request is without an answer and the drawing thread is back in wait_for_work; false
  /// after `timeout`.
  bool wait_until_idle(std::chrono::milliseconds timeout);
  /// Ends every request with `failure`. @return whether there were any
  bool end_all(const Failure& failure);
  /// Closes, ends every request with `failure` and makes wait_for_work return false.
  void abort(const Failure& failure);

  // For the drawing thread.

  /// Those not taken yet, oldest first.
  std::vector<std::shared_ptr<QueuedJob>> waiting() const;
  /// From now on the request is being drawn. @return false where it has ended meanwhile
  bool take(const QueuedJob& job);
  /// Says that nothing is held any more, and sleeps until something happens or until that time.
  /// @return false after abort()
  bool wait_for_work(std::optional<TimePoint> until = std::nullopt);
  /// Something happened that the drawing thread should look at.
  void wake();

 private:
  std::size_t unended() const { return waiting_.size() + taken_.size(); }
  double seconds_of_work() const;
  void check_room(const SubmitOptions& options, double estimate, const std::string& model) const;
  [[noreturn]] void refuse(const std::string& model, RefusalReason reason, const std::string& message) const;
  QueuePosition position_of(const QueuedJob& job) const;
  void leave(const QueuedJob& job, RequestOutcome outcome);  ///< the job has ended
  void tell_lengths() const;

  const Limits limits_;
  const Clock now_;
  const std::shared_ptr<EngineObserver> observer_;

  mutable std::mutex mutex_;  // guards what follows; no job's lock is taken under it
  std::condition_variable work_came_;
  std::condition_variable became_idle_;
  std::vector<std::shared_ptr<QueuedJob>> waiting_;  // oldest first
  std::vector<std::shared_ptr<QueuedJob>> taken_;    // not ended yet
  std::uint64_t next_number_ = 0;
  bool closed_ = false;
  bool aborted_ = false;
  bool woken_ = false;  // since the last wait_for_work
  bool asleep_ = true;  // in wait_for_work, or before the first take: nothing is held
};

}  // namespace easel
