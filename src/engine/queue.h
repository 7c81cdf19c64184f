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
#include "engine/device_estimates.h"
#include "engine/failure.h"
#include "engine/job.h"

namespace easel {

/// Bounded by number, by estimated work and by account. Counts a request from acceptance to its end, so the bounds hold
/// for what is waiting and what is being drawn together. Thread-safe; jobs may outlive it.
///
/// Each waiting request has a place on one device: where its answer is expected first, from the time to have its model
/// there, its own cost, and what the others there still need. It moves as long as nothing of it was begun, but only for
/// a gain that is worth it, so that estimates that waver move nobody to and fro.
class Queue : public std::enable_shared_from_this<Queue> {
 public:
  struct Limits {
    std::size_t max_pending = 64;
    double max_seconds = 0;  ///< of estimated work; 0: no limit
  };
  /// @param observer  may be null
  Queue(Limits limits, std::shared_ptr<const DeviceEstimates> devices, Clock now = std::chrono::steady_clock::now,
        std::shared_ptr<EngineObserver> observer = nullptr);

  /// @throws Error(kResourceExhausted)  full, too much work, or the account's limit
  /// @throws Error(kUnavailable)        closed
  std::shared_ptr<QueuedJob> submit(GenerationRequest request, SubmitOptions options);

  /// Seconds until a request that is refused now is likely to be accepted. Above 0.
  double estimated_wait() const;

  /// Refuses new requests from now on.
  void close();
  bool closed() const;
  /// Returns true when no accepted request is without an answer and the drawing threads are back in wait_for_work;
  /// false after `timeout`.
  bool wait_until_idle(std::chrono::milliseconds timeout);
  /// Ends every request with `failure`. @return whether there were any
  bool end_all(const Failure& failure);
  /// Closes, ends every request with `failure` and makes wait_for_work return false.
  void abort(const Failure& failure);

  // For the drawing threads, one a device.

  /// Those that have their place there and are not taken yet, oldest first. Places everybody anew before.
  std::vector<std::shared_ptr<QueuedJob>> waiting(std::size_t device);
  /// From now on the request is being drawn there. @return false where it has ended meanwhile, or has its place
  /// elsewhere
  bool take(const QueuedJob& job, std::size_t device);
  /// The device cannot have the request's model: it goes to another one, and never comes back. @return false where
  /// there is none that could, and it stays
  bool reassign_from(const QueuedJob& job, std::size_t device);
  /// Says that nothing is held there any more, and sleeps until something happens or until that time.
  /// @return false after abort()
  bool wait_for_work(std::size_t device, std::optional<TimePoint> until = std::nullopt);
  /// Something happened that the drawing threads should look at.
  void wake();

 private:
  struct QueueEntry {
    std::shared_ptr<QueuedJob> job;
    std::size_t device;
    std::vector<std::size_t> excluded{};  // devices it was moved away from
  };
  struct Worker {
    bool woken = false;  // since its last wait_for_work
    bool asleep = true;  // in wait_for_work, or before its first take: nothing is held
  };

  std::size_t pending() const { return waiting_.size() + taken_.size(); }
  double seconds_of_work() const;
  double sojourn(const QueuedJob* job, double own_seconds, std::size_t device) const;
  std::optional<std::size_t> best_device(const QueueEntry& entry) const;
  double expected_completion(const QueueEntry& entry, std::size_t device) const;
  void reassign(QueueEntry& entry);
  void check_capacity(const SubmitOptions& options, double estimate, const std::string& model) const;
  [[noreturn]] void reject(const std::string& model, RejectionReason reason, const std::string& message) const;
  QueuePosition position_of(const QueuedJob& job) const;
  void remove_ended(const QueuedJob& job, RequestOutcome outcome);  ///< the job has ended
  void wake_all();
  bool all_asleep() const;
  void report_lengths() const;

  const Limits limits_;
  const std::shared_ptr<const DeviceEstimates> devices_;
  const Clock now_;
  const std::shared_ptr<EngineObserver> observer_;

  mutable std::mutex mutex_;  // guards what follows; no job's lock is taken under it
  std::condition_variable work_available_;
  std::condition_variable became_idle_;
  std::vector<QueueEntry> waiting_;  // oldest first
  std::vector<QueueEntry> taken_;    // not ended yet
  std::vector<Worker> workers_;      // by device
  std::uint64_t next_number_ = 0;
  bool closed_ = false;
  bool aborted_ = false;
};

}  // namespace easel
