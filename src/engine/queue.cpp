#include "engine/queue.h"

#include <algorithm>
#include <utility>

#include "core/text.h"

namespace easel {

namespace {

// Longer waits would overflow the clock.
constexpr auto kLongestWait = std::chrono::hours(24 * 365);
// To come back sooner than this is not worth a client's while.
constexpr double kShortestWait = 1;

auto is(const QueuedJob& job) {
  return [&job](const std::shared_ptr<QueuedJob>& other) { return other.get() == &job; };
}

}  // namespace

Queue::Queue(Limits limits, Clock now, std::shared_ptr<EngineObserver> observer)
    : limits_(limits), now_(std::move(now)), observer_(std::move(observer)) {}

std::shared_ptr<QueuedJob> Queue::submit(GenerationRequest request, SubmitOptions options, double estimate) {
  const std::lock_guard lock(mutex_);
  check_room(options, estimate, request.model);
  JobHooks hooks{.now = now_,
                 .on_end =
                     [queue = weak_from_this()](const QueuedJob& job, RequestOutcome outcome) {
                       if (const auto alive = queue.lock()) alive->leave(job, outcome);
                     },
                 .position =
                     [queue = weak_from_this()](const QueuedJob& job) {
                       const auto alive = queue.lock();
                       return alive ? alive->position_of(job) : QueuePosition{};
                     }};
  auto job = std::make_shared<QueuedJob>(next_number_++, std::move(request), std::move(options), std::move(hooks));
  job->set_remaining_seconds(estimate);
  waiting_.push_back(job);
  woken_ = true;
  work_came_.notify_one();
  tell_lengths();
  return job;
}

void Queue::check_room(const SubmitOptions& options, double estimate, const std::string& model) const {
  if (closed_) {
    refuse(model, RefusalReason::kDraining, "the server is shutting down and takes no new requests");
  }
  if (unended() >= limits_.max_unended) {
    refuse(
        model, RefusalReason::kFull,
        concat(limits_.max_unended, " requests are waiting or being drawn, which is as many as may; try again later"));
  }
  if (limits_.max_seconds > 0 && unended() > 0 && seconds_of_work() + estimate > limits_.max_seconds) {
    refuse(model, RefusalReason::kTooMuchWork,
           concat("the accepted requests are ", static_cast<std::int64_t>(seconds_of_work()),
                  " s of work, and with this one it would be more than ", limits_.max_seconds, " s; try again later"));
  }
  if (options.max_unended_of_account == 0) return;
  const auto is_its = [&](const auto& job) { return job->options().account == options.account; };
  const auto count =
      std::count_if(waiting_.begin(), waiting_.end(), is_its) + std::count_if(taken_.begin(), taken_.end(), is_its);
  if (static_cast<std::size_t>(count) >= options.max_unended_of_account) {
    refuse(model, RefusalReason::kAccountLimit,
           concat(count, " requests of this account are waiting or being drawn, which is as many as it may have; try ",
                  "again when one of them is done"));
  }
}

void Queue::refuse(const std::string& model, RefusalReason reason, const std::string& message) const {
  if (observer_) observer_->on_refused(model, reason);
  const bool draining = reason == RefusalReason::kDraining;
  throw Error(draining ? ErrorCode::kUnavailable : ErrorCode::kResourceExhausted, message);
}

double Queue::seconds_of_work() const {
  double seconds = 0;
  for (const auto* list : {&waiting_, &taken_}) {
    for (const auto& job : *list) seconds += job->remaining_seconds();
  }
  return seconds;
}

double Queue::estimated_wait() const {
  const std::lock_guard lock(mutex_);
  if (unended() == 0) return kShortestWait;
  // At the measured rate requests end this often; and so much work is too much.
  const auto work = seconds_of_work();
  const auto until_next_end = work / static_cast<double>(unended());
  const auto too_much = limits_.max_seconds > 0 ? work - limits_.max_seconds : 0;
  return std::max({kShortestWait, until_next_end, too_much});
}

// Under equal shares each other request delays this one by as much as both still need (processor sharing, Kleinrock
// 1967); and those that need less end before it.
QueuePosition Queue::position_of(const QueuedJob& job) const {
  const std::lock_guard lock(mutex_);
  const auto own = job.remaining_seconds();
  QueuePosition position{.ahead = 0, .wait_seconds = own};
  for (const auto* list : {&waiting_, &taken_}) {
    for (const auto& other : *list) {
      if (other.get() == &job) continue;
      const auto theirs = other->remaining_seconds();
      position.wait_seconds += std::min(own, theirs);
      if (theirs < own || (theirs == own && other->number() < job.number())) ++position.ahead;
    }
  }
  return position;
}

void Queue::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
}

bool Queue::closed() const {
  const std::lock_guard lock(mutex_);
  return closed_;
}

bool Queue::wait_until_idle(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return became_idle_.wait_for(lock, std::min<std::chrono::milliseconds>(timeout, kLongestWait),
                               [this] { return unended() == 0 && asleep_; });
}

bool Queue::end_all(const Failure& failure) {
  std::vector<std::shared_ptr<QueuedJob>> unended;
  {
    const std::lock_guard lock(mutex_);
    unended = waiting_;
    unended.insert(unended.end(), taken_.begin(), taken_.end());
  }
  bool any = false;
  for (const auto& job : unended) any = job->fail(failure) || any;  // each takes itself off the lists
  return any;
}

void Queue::abort(const Failure& failure) {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    aborted_ = true;
    work_came_.notify_one();
  }
  end_all(failure);
}

std::vector<std::shared_ptr<QueuedJob>> Queue::waiting() const {
  const std::lock_guard lock(mutex_);
  return aborted_ ? std::vector<std::shared_ptr<QueuedJob>>{} : waiting_;
}

bool Queue::take(const QueuedJob& job) {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(waiting_.begin(), waiting_.end(), is(job));
  if (aborted_ || found == waiting_.end()) return false;
  taken_.push_back(std::move(*found));
  waiting_.erase(found);
  asleep_ = false;
  tell_lengths();
  return true;
}

bool Queue::wait_for_work(std::optional<TimePoint> until) {
  std::unique_lock lock(mutex_);
  asleep_ = true;
  became_idle_.notify_all();
  const auto something = [this] { return aborted_ || woken_; };
  if (until) {
    work_came_.wait_until(lock, *until, something);
  } else {
    work_came_.wait(lock, something);
  }
  woken_ = false;
  return !aborted_;
}

void Queue::wake() {
  const std::lock_guard lock(mutex_);
  woken_ = true;
  work_came_.notify_one();
}

void Queue::leave(const QueuedJob& job, RequestOutcome outcome) {
  const std::lock_guard lock(mutex_);
  std::erase_if(waiting_, is(job));
  std::erase_if(taken_, is(job));
  woken_ = true;
  work_came_.notify_one();
  became_idle_.notify_all();
  if (!observer_) return;
  const auto pictures = outcome == RequestOutcome::kDrawn ? job.request().num_images : 0;
  observer_->on_ended(job.request().model, outcome, seconds_between(job.accepted_at(), now_()), pictures);
  tell_lengths();
}

void Queue::tell_lengths() const {
  if (observer_) observer_->on_queue(waiting_.size(), taken_.size());
}

}  // namespace easel
