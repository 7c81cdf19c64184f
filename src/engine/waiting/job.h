// One accepted request, shared by the thread that waits for it and the loop that generates its images.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/mutex.h"
#include "easel/engine.h"
#include "engine/device/clock.h"
#include "engine/device/failure.h"

namespace easel {

class QueuedJob;

/// What a job needs from the queue that made it. Called from any thread; must not call back into that job.
struct JobHooks {
  Clock now = [] { return std::chrono::steady_clock::now(); };
  /// Called once, by the thread that ends the job, just before other threads can see that the job has ended.
  std::function<void(const QueuedJob&, RequestOutcome)> on_end = [](const QueuedJob&, RequestOutcome) {};
  std::function<QueuePosition(const QueuedJob&)> position = [](const QueuedJob&) { return QueuePosition{}; };
};

/// A job ends exactly once: the first of succeed, fail, cancel and the deadline takes effect, the others do nothing.
/// Thread-safe.
class QueuedJob final : public Job {
 public:
  /// @param number  unique, larger than that of every request accepted before
  QueuedJob(std::uint64_t number, GenerationRequest request, SubmitOptions options, JobHooks hooks);

  bool wait_for(std::chrono::milliseconds timeout) override;
  std::vector<GeneratedImage> take() override;
  void cancel() override;
  StepProgress progress() const override;
  QueuePosition position() const override;
  JobStats stats() const override;

  std::uint64_t number() const { return number_; }
  const GenerationRequest& request() const { return request_; }
  const SubmitOptions& options() const { return options_; }
  TimePoint accepted_at() const { return accepted_at_; }
  std::optional<TimePoint> deadline() const { return deadline_; }
  bool ended() const { return ended_.load(std::memory_order_acquire); }

  /// Ends the job if its deadline has passed. Cheap, because stop predicates poll it. @return whether the job has
  /// ended, for whatever reason
  bool ended_or_expired();
  /// Ends the job if it has waited for too long behind the requests of other accounts. For a job that has not begun.
  /// @return whether the job has ended, for whatever reason
  bool ended_or_queue_timed_out();
  /// The device has worked this long for other accounts while the request waited.
  void add_queue_seconds(double seconds) { queue_seconds_.store(queue_seconds() + seconds, std::memory_order_relaxed); }
  double queue_seconds() const { return queue_seconds_.load(std::memory_order_relaxed); }
  /// Estimated device time that the request still needs, in seconds.
  double remaining_seconds() const { return remaining_seconds_.load(std::memory_order_relaxed); }
  void set_remaining_seconds(double seconds) { remaining_seconds_.store(seconds, std::memory_order_relaxed); }

  /// @return whether this call ended the job
  bool succeed(std::vector<GeneratedImage> images);
  bool fail(Failure failure);

  /// Whether a listener receives progress events.
  bool listening() const { return !listener_disabled_ && !ended(); }
  /// Calls the listener, if there is one. One thread at a time.
  void notify(const ProgressEvent& event);
  TimePoint now() const { return hooks_.now(); }

  // Recorded by the loop for progress() and stats().
  void set_progress(StepProgress progress);
  void mark_started(const std::string& device);  ///< its first image was begun on this device; later calls do nothing
  void add_device_time(double device_seconds, int rows);

 private:
  bool end(RequestOutcome outcome, std::vector<GeneratedImage> images, std::optional<Failure> failure);
  bool fail_as(RequestOutcome outcome, Failure failure);

  const std::uint64_t number_;
  const GenerationRequest request_;
  const SubmitOptions options_;
  const JobHooks hooks_;
  const TimePoint accepted_at_;
  const std::optional<TimePoint> deadline_;
  std::atomic<double> remaining_seconds_{0};
  std::atomic<double> queue_seconds_{0};  // written by one loop at a time
  std::atomic<bool> listener_disabled_;   // there is no listener, or it threw

  mutable Mutex mutex_;  // taken before the queue's mutex, never after it
  CondVar ended_changed_;
  std::atomic<bool> ended_{false};  // written while the mutex is held
  bool taken_ EASEL_GUARDED_BY(mutex_) = false;
  std::vector<GeneratedImage> images_ EASEL_GUARDED_BY(mutex_);
  std::optional<Failure> failure_ EASEL_GUARDED_BY(mutex_);
  StepProgress progress_ EASEL_GUARDED_BY(mutex_);
  std::optional<TimePoint> started_at_ EASEL_GUARDED_BY(mutex_);
  std::optional<TimePoint> ended_at_ EASEL_GUARDED_BY(mutex_);
  std::string device_ EASEL_GUARDED_BY(mutex_);
  double device_seconds_ EASEL_GUARDED_BY(mutex_) = 0;
  int max_rows_ EASEL_GUARDED_BY(mutex_) = 0;
};

}  // namespace easel
