#include "engine/waiting/queue.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <set>
#include <utility>

#include "core/text.h"

namespace easel {

namespace {

// Retrying sooner than this gains a client nothing, in seconds.
constexpr double kMinWait = 1;
// SDKs ignore longer times, in seconds.
constexpr double kMaxRetryAfter = 60;
// A request moves to another device for an expected completion time below this part of the present one.
constexpr double kMoveThreshold = 0.8;

TimePoint::duration duration_of(double seconds) {
  return std::chrono::ceil<TimePoint::duration>(std::chrono::duration<double>(seconds));
}

auto is(const QueuedJob& job) {
  return [&job](const auto& entry) { return entry.job.get() == &job; };
}

}  // namespace

Queue::Queue(Limits limits, std::shared_ptr<const DeviceEstimates> devices, Clock now,
             std::shared_ptr<EngineObserver> observer)
    : limits_(limits),
      devices_(std::move(devices)),
      now_(std::move(now)),
      observer_(std::move(observer)),
      workers_(devices_->count()) {}

std::shared_ptr<QueuedJob> Queue::submit(GenerationRequest request, SubmitOptions options) {
  const MutexLock lock(mutex_);
  JobHooks hooks{.now = now_,
                 .on_end =
                     [queue = weak_from_this()](const QueuedJob& job, RequestOutcome outcome) {
                       if (const auto alive = queue.lock()) alive->remove_ended(job, outcome);
                     },
                 .position =
                     [queue = weak_from_this()](const QueuedJob& job) {
                       const auto alive = queue.lock();
                       return alive ? alive->position_of(job) : QueuePosition{};
                     }};
  auto job = std::make_shared<QueuedJob>(next_number_, std::move(request), std::move(options), std::move(hooks));
  QueueEntry entry{.job = job, .device = 0};
  entry.device = best_device(entry).value_or(0);
  const auto estimate = devices_->seconds_of(entry.device, job->request());
  check_capacity(job->options(), estimate, job->request().model);
  ++next_number_;
  job->set_remaining_seconds(estimate);
  waiting_.push_back(std::move(entry));
  wake_all();
  report_lengths();
  return job;
}

// Expected time in the system under processor sharing (Kleinrock 1967): with equal shares each other request on the
// device delays this one by the smaller of what the two still need.
double Queue::sojourn(const QueuedJob* job, double own_seconds, std::size_t device) const {
  double seconds = own_seconds;
  for (const auto* list : {&waiting_, &taken_}) {
    for (const auto& other : *list) {
      if (other.device != device || other.job.get() == job) continue;
      seconds += std::min(own_seconds, other.job->remaining_seconds());
    }
  }
  return seconds;
}

double Queue::expected_completion(const QueueEntry& entry, std::size_t device) const {
  const auto& excluded = entry.excluded;
  if (std::find(excluded.begin(), excluded.end(), device) != excluded.end())
    return std::numeric_limits<double>::infinity();
  const auto& request = entry.job->request();
  const auto ready_in = devices_->ready_in(device, request.model);
  return ready_in + sojourn(entry.job.get(), devices_->seconds_of(device, request), device);
}

// @return none if no device can run the request
std::optional<std::size_t> Queue::best_device(const QueueEntry& entry) const {
  std::optional<std::size_t> best;
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t device = 0; device < workers_.size(); ++device) {
    const auto its = expected_completion(entry, device);
    if (its < least) best = device, least = its;
  }
  return best;
}

void Queue::reassign(QueueEntry& entry) {
  const auto best = best_device(entry);
  if (!best || *best == entry.device ||
      expected_completion(entry, *best) >= kMoveThreshold * expected_completion(entry, entry.device))
    return;
  entry.device = *best;
  workers_[*best].woken = true;
  work_available_.notify_all();
}

void Queue::check_capacity(const SubmitOptions& options, double estimate, const std::string& model) const {
  if (closed_) {
    reject(model, RejectionReason::kDraining, "the server is shutting down and takes no new requests");
  }
  const auto places = places_for(options.account);
  if (pending() >= places) {
    reject(model, RejectionReason::kQueueFull,
           concat(pending(), " requests are waiting or running, which is the maximum; try again later"));
  }
  if (limits_.max_seconds > 0 && pending() > 0 && seconds_of_work() + estimate > limits_.max_seconds) {
    reject(model, RejectionReason::kWorkLimit,
           concat("the accepted requests are ", static_cast<std::int64_t>(seconds_of_work()),
                  " s of work, and with this one it would be more than ", limits_.max_seconds, " s; try again later"));
  }
  if (options.max_pending_per_account == 0) return;
  const auto held = held_by_account()[options.account];
  if (held >= options.max_pending_per_account) {
    reject(
        model, RejectionReason::kAccountLimit,
        concat(held, " requests of this account are waiting or running, which is the maximum; try again when one of ",
               "them is done"));
  }
}

std::map<std::string, std::size_t> Queue::held_by_account() const {
  std::map<std::string, std::size_t> held;
  for (const auto* list : {&waiting_, &taken_}) {
    for (const auto& entry : *list) ++held[entry.job->options().account];
  }
  return held;
}

std::size_t Queue::places_for(const std::string& account) const {
  const auto all = all_places(limits_.max_pending);
  const auto held = held_by_account();
  const auto own = held.find(account);
  const bool below_equal_part = (own == held.end() ? 0 : own->second) * (held.size() + 1) < all;
  return below_equal_part ? all : limits_.max_pending;
}

void Queue::reject(const std::string& model, RejectionReason reason, const std::string& message) const {
  if (observer_) observer_->on_rejected(model, reason);
  const bool draining = reason == RejectionReason::kDraining;
  throw Error(draining ? ErrorCode::kUnavailable : ErrorCode::kResourceExhausted, message);
}

double Queue::seconds_of_work() const {
  double seconds = 0;
  for (const auto* list : {&waiting_, &taken_}) {
    for (const auto& entry : *list) seconds += entry.job->remaining_seconds();
  }
  return seconds;
}

// How often requests end on average.
double Queue::seconds_per_request() const {
  std::set<std::size_t> busy;
  for (const auto* list : {&waiting_, &taken_}) {
    for (const auto& entry : *list) busy.insert(entry.device);
  }
  return pending() == 0 ? 0 : seconds_of_work() / static_cast<double>(pending() * busy.size());
}

double Queue::seconds_until_place(const SubmitOptions& options) const {
  const auto held = held_by_account();
  const auto each = seconds_per_request();
  const auto places = places_for(options.account);
  double seconds = pending() < places ? 0 : each * static_cast<double>(pending() - places + 1);
  if (limits_.max_seconds > 0 && pending() > 0) {
    const auto excess = (seconds_of_work() - limits_.max_seconds) / seconds_of_work();
    seconds = std::max(seconds, excess * each * static_cast<double>(pending()));
  }
  const auto own = held.find(options.account);
  if (options.max_pending_per_account > 0 && own != held.end() && own->second >= options.max_pending_per_account) {
    // Accounts share the devices, so one request of each account ends before the next one of this account does.
    seconds = std::max(seconds, each * static_cast<double>(held.size()));
  }
  return std::max({seconds, each, kMinWait});
}

RetryAdvice Queue::advise_retry(const SubmitOptions& options) {
  const MutexLock lock(mutex_);
  const auto now = now_();
  const auto place_at = now + duration_of(seconds_until_place(options));
  const auto at = std::max(place_at, next_retry_);
  next_retry_ =
      std::min(at + duration_of(seconds_per_request()), std::max(place_at, now + duration_of(kMaxRetryAfter)));
  const auto wait = seconds_between(now, at);
  if (wait < kMaxRetryAfter) return {.estimated_wait = wait, .retry_after = wait};
  // Clients that cannot be served within that time come back in the second half of it, evenly spread: fractions of
  // multiples of the golden ratio (Knuth, The Art of Computer Programming, 6.4, theorem S).
  const double fraction = std::fmod(static_cast<double>(++advised_) * std::numbers::phi, 1.0);
  return {.estimated_wait = wait, .retry_after = kMaxRetryAfter * (1 - fraction / 2)};
}

// Requests on its device that need less time end before it.
QueuePosition Queue::position_of(const QueuedJob& job) const {
  const MutexLock lock(mutex_);
  const auto own = job.remaining_seconds();
  const auto* mine = &waiting_;
  auto found = std::find_if(waiting_.begin(), waiting_.end(), is(job));
  if (found == waiting_.end()) {
    mine = &taken_;
    found = std::find_if(taken_.begin(), taken_.end(), is(job));
  }
  if (found == mine->end()) return {};  // it is just ending
  QueuePosition position{.ahead = 0, .wait_seconds = sojourn(&job, own, found->device)};
  for (const auto* list : {&waiting_, &taken_}) {
    for (const auto& other : *list) {
      if (other.device != found->device || other.job.get() == &job) continue;
      const auto theirs = other.job->remaining_seconds();
      if (theirs < own || (theirs == own && other.job->number() < job.number())) ++position.ahead;
    }
  }
  return position;
}

void Queue::close() {
  const MutexLock lock(mutex_);
  closed_ = true;
}

bool Queue::closed() const {
  const MutexLock lock(mutex_);
  return closed_;
}

bool Queue::wait_until_idle(std::chrono::milliseconds timeout) {
  const auto until = std::chrono::steady_clock::now() + std::min(timeout, kMaxWait);
  const MutexLock lock(mutex_);
  const auto idle = [this]() EASEL_REQUIRES(mutex_) { return pending() == 0 && all_asleep(); };
  while (!idle()) {
    if (!became_idle_.wait_until(mutex_, until)) return idle();
  }
  return true;
}

bool Queue::end_all(const Failure& failure) {
  std::vector<std::shared_ptr<QueuedJob>> pending;
  {
    const MutexLock lock(mutex_);
    for (const auto* list : {&waiting_, &taken_}) {
      for (const auto& entry : *list) pending.push_back(entry.job);
    }
  }
  bool any = false;
  for (const auto& job : pending) any = job->fail(failure) || any;  // the end of a job removes it from the lists
  return any;
}

void Queue::abort(const Failure& failure) {
  {
    const MutexLock lock(mutex_);
    closed_ = true;
    aborted_ = true;
    work_available_.notify_all();
  }
  end_all(failure);
}

std::vector<std::shared_ptr<QueuedJob>> Queue::waiting(std::size_t device) {
  const MutexLock lock(mutex_);
  std::vector<std::shared_ptr<QueuedJob>> here;
  if (aborted_) return here;
  for (auto& entry : waiting_) {
    if (workers_.size() > 1) reassign(entry);
    if (entry.device == device) here.push_back(entry.job);
  }
  return here;
}

bool Queue::take(const QueuedJob& job, std::size_t device) {
  const MutexLock lock(mutex_);
  const auto found = std::find_if(waiting_.begin(), waiting_.end(), is(job));
  if (aborted_ || found == waiting_.end() || found->device != device) return false;
  taken_.push_back(std::move(*found));
  waiting_.erase(found);
  workers_[device].asleep = false;
  report_lengths();
  return true;
}

bool Queue::reassign_from(const QueuedJob& job, std::size_t device) {
  const MutexLock lock(mutex_);
  const auto found = std::find_if(waiting_.begin(), waiting_.end(), is(job));
  if (found == waiting_.end() || found->device != device) return true;  // it has ended or moved meanwhile
  found->excluded.push_back(device);
  const auto other = best_device(*found);
  if (!other) return false;
  found->device = *other;
  workers_[*other].woken = true;
  work_available_.notify_all();
  return true;
}

bool Queue::wait_for_work(std::size_t device, std::optional<TimePoint> until) {
  const MutexLock lock(mutex_);
  auto& worker = workers_[device];
  worker.asleep = true;
  became_idle_.notify_all();
  while (!aborted_ && !worker.woken) {
    if (!until) {
      work_available_.wait(mutex_);
    } else if (!work_available_.wait_until(mutex_, *until)) {
      break;
    }
  }
  worker.woken = false;
  return !aborted_;
}

void Queue::wake() {
  const MutexLock lock(mutex_);
  wake_all();
}

void Queue::wake_all() {
  for (auto& worker : workers_) worker.woken = true;
  work_available_.notify_all();
}

bool Queue::all_asleep() const {
  return std::all_of(workers_.begin(), workers_.end(), [](const Worker& worker) { return worker.asleep; });
}

void Queue::remove_ended(const QueuedJob& job, RequestOutcome outcome) {
  const MutexLock lock(mutex_);
  std::erase_if(waiting_, is(job));
  std::erase_if(taken_, is(job));
  wake_all();
  became_idle_.notify_all();
  if (!observer_) return;
  const auto images = outcome == RequestOutcome::kSucceeded ? job.request().num_images : 0;
  observer_->on_ended(job.request().model, outcome, seconds_between(job.accepted_at(), now_()), images);
  report_lengths();
}

void Queue::report_lengths() const {
  if (observer_) observer_->on_queue(waiting_.size(), taken_.size());
}

}  // namespace easel
