#include "engine/waiting/job.h"

#include <algorithm>
#include <utility>

#include "core/log.h"
#include "core/text.h"

namespace easel {

namespace {

// A request may wait this many times its own estimated time, whatever the queue timeout is.
constexpr double kMinQueueTimeout = 3;

std::optional<TimePoint> deadline_of(const SubmitOptions& options, TimePoint accepted_at) {
  if (!options.timeout) return std::nullopt;
  return accepted_at + std::min(*options.timeout, kMaxWait);
}

}  // namespace

QueuedJob::QueuedJob(std::uint64_t number, GenerationRequest request, SubmitOptions options, JobHooks hooks)
    : number_(number),
      request_(std::move(request)),
      options_(std::move(options)),
      hooks_(std::move(hooks)),
      accepted_at_(hooks_.now()),
      deadline_(deadline_of(options_, accepted_at_)),
      listener_disabled_(!options_.listener) {}

bool QueuedJob::wait_for(std::chrono::milliseconds timeout) {
  const auto until = hooks_.now() + std::min(timeout, kMaxWait);
  {
    const auto first = deadline_ ? std::min(until, *deadline_) : until;
    const MutexLock lock(mutex_);
    while (!ended() && ended_changed_.wait_until(mutex_, first)) {
    }
  }
  return ended_or_expired();  // the deadline takes effect here even if the loop has not noticed it yet
}

std::vector<GeneratedImage> QueuedJob::take() {
  while (!wait_for(kMaxWait)) {
  }
  const MutexLock lock(mutex_);
  if (failure_) throw failure_->to_error();
  if (std::exchange(taken_, true)) throw Error(ErrorCode::kInternal, "the images of a job were taken twice");
  return std::move(images_);
}

void QueuedJob::cancel() {
  fail_as(RequestOutcome::kCancelled, {ErrorCode::kCancelled, "the request was cancelled", {}});
}

StepProgress QueuedJob::progress() const {
  const MutexLock lock(mutex_);
  return progress_;
}

QueuePosition QueuedJob::position() const {
  return ended() ? QueuePosition{} : hooks_.position(*this);
}

JobStats QueuedJob::stats() const {
  const MutexLock lock(mutex_);
  const auto end = ended_at_ ? *ended_at_ : hooks_.now();
  const auto start = started_at_.value_or(end);
  return {.queued_seconds = seconds_between(accepted_at_, start),
          .run_seconds = seconds_between(start, end),
          .device_seconds = device_seconds_,
          .max_rows = max_rows_,
          .device = device_};
}

bool QueuedJob::ended_or_expired() {
  if (ended()) return true;
  if (!deadline_ || hooks_.now() < *deadline_) return false;
  fail_as(RequestOutcome::kTimedOut,
          {ErrorCode::kDeadlineExceeded,
           concat("the request was not done within ", static_cast<double>(options_.timeout->count()) / 1e3, " s"),
           {}});
  return true;
}

bool QueuedJob::ended_or_queue_timed_out() {
  if (ended()) return true;
  if (!options_.queue_timeout) return false;
  const std::chrono::duration<double> timeout = *options_.queue_timeout;
  if (queue_seconds() < std::max(timeout.count(), kMinQueueTimeout * remaining_seconds())) return false;
  fail_as(RequestOutcome::kTimedOut, {ErrorCode::kDeadlineExceeded,
                                      concat("the request waited for ", static_cast<std::int64_t>(queue_seconds()),
                                             " s while the server worked for other accounts, and had not begun"),
                                      {}});
  return true;
}

bool QueuedJob::succeed(std::vector<GeneratedImage> images) {
  return end(RequestOutcome::kSucceeded, std::move(images), std::nullopt);
}

bool QueuedJob::fail(Failure failure) {
  const bool shutdown = failure.code == ErrorCode::kUnavailable;
  return fail_as(shutdown ? RequestOutcome::kUnavailable : RequestOutcome::kFailed, std::move(failure));
}

bool QueuedJob::fail_as(RequestOutcome outcome, Failure failure) {
  return end(outcome, {}, std::move(failure));
}

void QueuedJob::notify(const ProgressEvent& event) {
  if (!listening()) return;
  try {
    options_.listener(event);
  } catch (...) {
    listener_disabled_ = true;
    log::warning(concat("the listener of request ", number_, " failed: ", current_failure().message));
  }
}

void QueuedJob::set_progress(StepProgress progress) {
  const MutexLock lock(mutex_);
  progress_ = progress;
}

void QueuedJob::mark_started(const std::string& device) {
  const MutexLock lock(mutex_);
  if (started_at_ || ended_at_) return;
  started_at_ = hooks_.now();
  device_ = device;
}

void QueuedJob::add_device_time(double device_seconds, int rows) {
  const MutexLock lock(mutex_);
  device_seconds_ += device_seconds;
  max_rows_ = std::max(max_rows_, rows);
}

bool QueuedJob::end(RequestOutcome outcome, std::vector<GeneratedImage> images, std::optional<Failure> failure) {
  const MutexLock lock(mutex_);
  if (ended()) return false;
  hooks_.on_end(*this, outcome);  // first, so that a thread that sees the end also finds the place in the queue free
  images_ = std::move(images);
  failure_ = std::move(failure);
  ended_at_ = hooks_.now();
  ended_.store(true, std::memory_order_release);
  ended_changed_.notify_all();
  return true;
}

}  // namespace easel
