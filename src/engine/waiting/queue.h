// Where accepted requests wait, and how they are assigned to devices. A queue shared by several machines would replace
// this class and nothing else in the engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/mutex.h"
#include "easel/engine.h"
#include "engine/device/clock.h"
#include "engine/device/device_estimates.h"
#include "engine/device/failure.h"
#include "engine/waiting/job.h"

namespace easel {

/// Bounded by the number of requests, by their estimated work and by account. A request counts from acceptance until it
/// has ended, so the bounds cover waiting and running requests together. A third more places are kept for accounts that
/// hold less than an equal part. Thread-safe; jobs may outlive the queue.
///
/// Every waiting request is assigned to the device that is expected to complete it first, given the time until its
/// model is ready there, its own cost, and what the other requests there still need. A request that has not started may
/// move to another device, but only if that cuts its expected completion time by at least 20 %; this hysteresis keeps
/// requests from moving back and forth as estimates change.
class Queue : public std::enable_shared_from_this<Queue> {
 public:
  struct Limits {
    std::size_t max_pending = 64;
    double max_seconds = 0;  ///< estimated device time of all accepted requests; 0: no limit
  };
  /// @param observer  may be null
  Queue(Limits limits, std::shared_ptr<const DeviceEstimates> devices, Clock now = std::chrono::steady_clock::now,
        std::shared_ptr<EngineObserver> observer = nullptr);

  /// @throws Error(kResourceExhausted)  a bound is reached: of requests, of estimated work, or of the account
  /// @throws Error(kUnavailable)        the queue is closed
  std::shared_ptr<QueuedJob> submit(GenerationRequest request, SubmitOptions options);

  /// As Engine::advise_retry.
  RetryAdvice advise_retry(const SubmitOptions& options);

  /// Refuses new requests from now on.
  void close();
  bool closed() const;
  /// Waits until every accepted request has ended and all loop threads are back in wait_for_work. @return false if that
  /// was not so after `timeout`
  bool wait_until_idle(std::chrono::milliseconds timeout);
  /// Ends every request with `failure`. @return whether there were any
  bool end_all(const Failure& failure);
  /// Closes the queue, ends every request with `failure` and makes wait_for_work return false from now on.
  void abort(const Failure& failure);

  // For the loop threads, one for each device.

  /// Requests that are assigned to this device and were not taken yet, oldest first. Assigns all waiting requests anew
  /// before.
  std::vector<std::shared_ptr<QueuedJob>> waiting(std::size_t device);
  /// From now on the request runs on this device and moves no more. @return false if it has ended meanwhile, or is
  /// assigned to another device
  bool take(const QueuedJob& job, std::size_t device);
  /// Called when the device cannot load the request's model: assigns the request to another device, and never to this
  /// one again. @return false if no other device can take it; then it stays where it is
  bool reassign_from(const QueuedJob& job, std::size_t device);
  /// Says that the device's loop holds no image any more, and waits until something happens or until the given time.
  /// @return false after abort()
  bool wait_for_work(std::size_t device, std::optional<TimePoint> until = std::nullopt);
  /// Makes every wait_for_work return.
  void wake();

 private:
  struct QueueEntry {
    std::shared_ptr<QueuedJob> job;
    std::size_t device;
    std::vector<std::size_t> excluded{};  // devices that cannot load its model
  };
  struct Worker {
    bool woken = false;  // since its latest wait_for_work
    bool asleep = true;  // in wait_for_work, or before its first take: it holds no image
  };

  std::size_t pending() const EASEL_REQUIRES(mutex_) { return waiting_.size() + taken_.size(); }
  double seconds_of_work() const EASEL_REQUIRES(mutex_);
  /// Number of requests by account.
  std::map<std::string, std::size_t> held_by_account() const EASEL_REQUIRES(mutex_);
  /// The number of places for all requests, as far as this account may use them.
  std::size_t places_for(const std::string& account) const EASEL_REQUIRES(mutex_);
  double seconds_per_request() const EASEL_REQUIRES(mutex_);
  double seconds_until_place(const SubmitOptions& options) const EASEL_REQUIRES(mutex_);
  double sojourn(const QueuedJob* job, double own_seconds, std::size_t device) const EASEL_REQUIRES(mutex_);
  std::optional<std::size_t> best_device(const QueueEntry& entry) const EASEL_REQUIRES(mutex_);
  double expected_completion(const QueueEntry& entry, std::size_t device) const EASEL_REQUIRES(mutex_);
  void reassign(QueueEntry& entry) EASEL_REQUIRES(mutex_);
  void check_capacity(const SubmitOptions& options, double estimate, const std::string& model) const
      EASEL_REQUIRES(mutex_);
  [[noreturn]] void reject(const std::string& model, RejectionReason reason, const std::string& message) const;
  QueuePosition position_of(const QueuedJob& job) const;
  void remove_ended(const QueuedJob& job, RequestOutcome outcome);
  void wake_all() EASEL_REQUIRES(mutex_);
  bool all_asleep() const EASEL_REQUIRES(mutex_);
  void report_lengths() const EASEL_REQUIRES(mutex_);

  const Limits limits_;
  const std::shared_ptr<const DeviceEstimates> devices_;
  const Clock now_;
  const std::shared_ptr<EngineObserver> observer_;

  mutable Mutex mutex_;  // no job's mutex is taken while this one is held
  CondVar work_available_;
  CondVar became_idle_;
  std::vector<QueueEntry> waiting_ EASEL_GUARDED_BY(mutex_);  // oldest first
  std::vector<QueueEntry> taken_ EASEL_GUARDED_BY(mutex_);    // until they have ended
  std::vector<Worker> workers_ EASEL_GUARDED_BY(mutex_);      // by device
  TimePoint next_retry_ EASEL_GUARDED_BY(mutex_){};           // for the next rejected client, if it is not in the past
  std::uint64_t advised_ EASEL_GUARDED_BY(mutex_) = 0;
  std::uint64_t next_number_ EASEL_GUARDED_BY(mutex_) = 0;
  bool closed_ EASEL_GUARDED_BY(mutex_) = false;
  bool aborted_ EASEL_GUARDED_BY(mutex_) = false;
};

}  // namespace easel
