#include "engine/job.h"

#include <algorithm>
#include <utility>

namespace easel {

namespace {

// Longer waits would overflow the clock.
constexpr auto kLongestWait = std::chrono::hours(24 * 365);

}  // namespace

QueuedJob::QueuedJob(std::uint64_t number, GenerationRequest request, std::function<void(const QueuedJob&)> on_end)
    : number_(number), request_(std::move(request)), on_end_(std::move(on_end)) {}

bool QueuedJob::wait_for(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return ended_changed_.wait_for(lock, std::min<std::chrono::milliseconds>(timeout, kLongestWait),
                                 [this] { return ended(); });
}

std::vector<GeneratedImage> QueuedJob::take() {
  std::unique_lock lock(mutex_);
  ended_changed_.wait(lock, [this] { return ended(); });
  if (failure_) throw failure_->to_error();
  if (std::exchange(taken_, true)) throw Error(ErrorCode::kInternal, "the pictures of a job were taken twice");
  return std::move(images_);
}

void QueuedJob::cancel() {
  fail({ErrorCode::kCancelled, "the request was cancelled", {}});
}

StepProgress QueuedJob::progress() const {
  const std::lock_guard lock(mutex_);
  return progress_;
}

bool QueuedJob::succeed(std::vector<GeneratedImage> images) {
  return end(std::move(images), std::nullopt);
}

bool QueuedJob::fail(Failure failure) {
  return end({}, std::move(failure));
}

void QueuedJob::report(StepProgress progress) {
  const std::lock_guard lock(mutex_);
  progress_ = progress;
}

bool QueuedJob::end(std::vector<GeneratedImage> images, std::optional<Failure> failure) {
  const std::lock_guard lock(mutex_);
  if (ended()) return false;
  on_end_(*this);  // first, so that who sees the end also finds the place free
  images_ = std::move(images);
  failure_ = std::move(failure);
  ended_.store(true, std::memory_order_release);
  ended_changed_.notify_all();
  return true;
}

}  // namespace easel
