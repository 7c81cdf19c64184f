// One accepted request: where its answer meets who waits for it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "easel/engine.h"
#include "engine/clock.h"
#include "engine/failure.h"

namespace easel {

class QueuedJob;

/// What a job needs of the queue that made it. Called by any thread; must not call back into that job.
struct JobHooks {
  Clock now = [] { return std::chrono::steady_clock::now(); };
  /// Once, by the thread that ends the job and just before anybody can see that it ended.
  std::function<void(const QueuedJob&, RequestOutcome)> on_end = [](const QueuedJob&, RequestOutcome) {};
  std::function<QueuePosition(const QueuedJob&)> position = [](const QueuedJob&) { return QueuePosition{}; };
};

/// Ends exactly once: the first of succeed, fail, cancel and its deadline counts, the others do nothing. Thread-safe.
class QueuedJob final : public Job {
 public:
  /// @param number  rises with every accepted request
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

  /// Ends it when its deadline has passed. Cheap: stop predicates poll it. @return whether it has ended, however
  bool ended_or_expired();
  /// Estimated device time it still needs.
  double remaining_seconds() const { return remaining_seconds_.load(std::memory_order_relaxed); }
  void set_remaining_seconds(double seconds) { remaining_seconds_.store(seconds, std::memory_order_relaxed); }

  /// @return whether this was the end
  bool succeed(std::vector<GeneratedImage> images);
  bool fail(Failure failure);

  /// Whether anybody hears of its progress.
  bool listening() const { return !listener_disabled_ && !ended(); }
  /// Calls the listener, if it is listening. One thread at a time.
  void notify(const ProgressEvent& event);
  TimePoint now() const { return hooks_.now(); }

  // What its figures are made of.
  void set_progress(StepProgress progress);
  void mark_started(const std::string& device);  ///< its first image is begun there; the first call counts
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
  std::atomic<bool> listener_disabled_;  // no listener, or it threw

  mutable std::mutex mutex_;  // guards what follows; taken before the queue's, never after it
  std::condition_variable ended_changed_;
  std::atomic<bool> ended_{false};  // written under the mutex
  bool taken_ = false;
  std::vector<GeneratedImage> images_;
  std::optional<Failure> failure_;
  StepProgress progress_;
  std::optional<TimePoint> started_at_;
  std::optional<TimePoint> ended_at_;
  std::string device_;
  double device_seconds_ = 0;
  int max_rows_ = 0;
};

}  // namespace easel
