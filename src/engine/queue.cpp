#include "engine/queue.h"

#include <utility>

#include "core/text.h"

namespace easel {

std::shared_ptr<QueuedJob> Queue::submit(GenerationRequest request) {
  const std::lock_guard lock(mutex_);
  if (closed_) throw Error(ErrorCode::kUnavailable, "the server is shutting down and takes no new requests");
  if (waiting_.size() + taken_.size() >= max_unended_) {
    throw Error(ErrorCode::kResourceExhausted,
                concat(max_unended_, " requests are waiting or being drawn, which is as many as may; try again later"));
  }
  auto job = std::make_shared<QueuedJob>(next_number_++, std::move(request),
                                         [queue = weak_from_this()](const QueuedJob& ended) {
                                           if (const auto alive = queue.lock()) alive->leave(ended);
                                         });
  waiting_.push_back(job);
  work_came_.notify_one();
  return job;
}

void Queue::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
}

void Queue::wait_until_idle() {
  std::unique_lock lock(mutex_);
  became_idle_.wait(lock, [this] { return waiting_.empty() && taken_.empty() && !drawing_; });
}

void Queue::abort(const Failure& failure) {
  std::vector<std::shared_ptr<QueuedJob>> unended;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    aborted_ = true;
    taken_.insert(taken_.end(), waiting_.begin(), waiting_.end());  // so that nobody takes up what is ending
    waiting_.clear();
    unended = taken_;
    work_came_.notify_one();
  }
  for (const auto& job : unended) job->fail(failure);  // each takes itself off the lists
}

std::shared_ptr<QueuedJob> Queue::try_take() {
  const std::lock_guard lock(mutex_);
  if (waiting_.empty()) return nullptr;
  auto job = std::move(waiting_.front());
  waiting_.erase(waiting_.begin());
  taken_.push_back(job);
  drawing_ = true;
  return job;
}

bool Queue::wait_for_work() {
  std::unique_lock lock(mutex_);
  drawing_ = false;
  became_idle_.notify_all();
  work_came_.wait(lock, [this] { return aborted_ || !waiting_.empty(); });
  return !aborted_;
}

void Queue::leave(const QueuedJob& job) {
  const auto is_it = [&job](const std::shared_ptr<QueuedJob>& other) { return other.get() == &job; };
  const std::lock_guard lock(mutex_);
  std::erase_if(waiting_, is_it);
  std::erase_if(taken_, is_it);
  became_idle_.notify_all();
}

}  // namespace easel
