// The states of a kept request. The engine's job is let go at the end, because it holds the images of the request.
#include "http/openai/jobs/kept_request.h"

#include <algorithm>
#include <cstddef>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include "core/text.h"
#include "http/wire/random_id.h"
#include "http/wire/unix_time.h"

namespace easel::http {
namespace {

constexpr std::size_t kMaxIgnored = 100;  // names in the result

/// A request may have a megabyte of them, and its result is kept for long.
void shorten_names(std::vector<std::string>& names) {
  const auto count = names.size();
  names.resize(std::min(count, kMaxIgnored));
  for (auto& name : names) name = shortened(name);
  if (count > kMaxIgnored) names.push_back(concat("and ", count - kMaxIgnored, " more"));
}

}  // namespace

KeptRequest::Waiter::Waiter(std::shared_ptr<KeptRequest> request) : request_(std::move(request)) {
  const MutexLock lock(request_->mutex_);
  ++request_->waiters_;
}

KeptRequest::Waiter::~Waiter() {
  const MutexLock lock(request_->mutex_);
  --request_->waiters_;
  request_->last_waiter_at_ = Clock::now();
}

KeptRequest::KeptRequest(std::string account, AcceptedRequest accepted, bool detached)
    : id_(random_id()),
      account_(std::move(account)),
      created_at_(unix_seconds()),
      context_(std::move(accepted.context)),
      job_(std::move(accepted.job)),
      feed_(std::move(accepted.feed)),
      detached_(detached) {
  shorten_names(context_.options.ignored);
}

bool KeptRequest::detached() const {
  const MutexLock lock(mutex_);
  return detached_;
}

bool KeptRequest::detach() {
  const MutexLock lock(mutex_);
  return !std::exchange(detached_, true);
}

std::shared_ptr<Job> KeptRequest::job() const {
  const MutexLock lock(mutex_);
  return job_;
}

bool KeptRequest::wait_for(std::chrono::milliseconds timeout) const {
  const auto until = Clock::now() + timeout;
  const MutexLock lock(mutex_);
  while (!ended_at_ && ended_changed_.wait_until(mutex_, until)) {
  }
  return ended_at_.has_value();
}

void KeptRequest::cancel() {
  std::shared_ptr<Job> running;
  {
    const MutexLock lock(mutex_);
    if (!job_) return;
    cancelled_ = true;
    running = job_;
  }
  running->cancel();
}

KeptRequest::Status KeptRequest::status() const {
  const MutexLock lock(mutex_);
  if (ended_at_ && !error_) return Status::kCompleted;
  if (cancelled_) return Status::kCancelled;
  if (ended_at_) return Status::kFailed;
  return job_->progress().steps_total > 0 ? Status::kRunning : Status::kQueued;
}

StepProgress KeptRequest::progress() const {
  const auto running = job();
  if (running) return running->progress();
  const MutexLock lock(mutex_);
  return progress_;
}

QueuePosition KeptRequest::position() const {
  const auto running = job();
  return running ? running->position() : QueuePosition{};
}

JobStats KeptRequest::stats() const {
  const auto running = job();
  if (running) return running->stats();
  const MutexLock lock(mutex_);
  return stats_;
}

std::optional<Image> KeptRequest::newest_preview() const {
  const MutexLock lock(mutex_);
  return feed_ ? feed_->newest_preview() : std::nullopt;
}

std::shared_ptr<ProgressFeed> KeptRequest::feed() const {
  const MutexLock lock(mutex_);
  return feed_;
}

std::optional<HttpError> KeptRequest::error() const {
  const MutexLock lock(mutex_);
  return error_;
}

std::shared_ptr<StoredResult> KeptRequest::result() const {
  const MutexLock lock(mutex_);
  return result_;
}

bool KeptRequest::has_result() const {
  const auto stored = result();
  return stored && stored->is_complete();
}

std::optional<ImageResult> KeptRequest::load() const {
  const auto stored = result();
  return stored ? stored->load() : std::nullopt;
}

std::optional<KeptRequest::Clock::time_point> KeptRequest::ended_at() const {
  const MutexLock lock(mutex_);
  return ended_at_;
}

bool KeptRequest::abandoned(std::chrono::milliseconds grace) const {
  const MutexLock lock(mutex_);
  return !detached_ && waiters_ == 0 && Clock::now() >= last_waiter_at_ + grace;
}

bool KeptRequest::finish(ImageStore& store, std::chrono::milliseconds grace) {
  const auto running = job();
  if (!running) return true;
  if (abandoned(grace)) cancel();
  if (!running->wait_for(std::chrono::milliseconds(0))) return false;
  try {
    auto result = make_result(running->take(), unix_seconds(), context_);
    end(std::make_shared<StoredResult>(std::move(result), store, /*keep_unstored=*/!detached()), std::nullopt);
  } catch (const Error& error) {
    end(nullptr, result_error(error, context_));
  } catch (const std::exception& error) {
    end(nullptr, unexpected_error(error.what()));
  }
  context_ = {};  // it has the prompt
  return true;
}

void KeptRequest::end(std::shared_ptr<StoredResult> result, std::optional<HttpError> error) {
  const MutexLock lock(mutex_);
  result_ = std::move(result);
  error_ = std::move(error);
  progress_ = job_->progress();
  stats_ = job_->stats();
  ended_at_ = Clock::now();
  job_.reset();
  feed_.reset();
  ended_changed_.notify_all();
}

}  // namespace easel::http
