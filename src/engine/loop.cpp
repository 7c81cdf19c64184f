#include "engine/loop.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "core/text.h"

namespace easel {

namespace {

// How often those who wait are told where they stand.
constexpr std::chrono::seconds kPositionInterval{1};
// The part of the places that a request cannot have for its second image and those after it.
constexpr std::int64_t kReserveDivisor = 4;
// Others are put aside for a request that needs less than this part of what they need on average.
constexpr double kMuchShorter = 0.25;
// Added to a doubted device's times: more than any backlog, so that requests go there only where there is no other.
constexpr double kOpenCircuitSeconds = 1e9;

}  // namespace

Loop::Loop(Queue& queue, Residency& residency, DeviceBoard& board, Policy& policy, Limits limits, Clock now,
           std::shared_ptr<EngineObserver> observer)
    : queue_(queue),
      residency_(residency),
      board_(board),
      costs_(board.costs(limits.device)),
      policy_(policy),
      limits_(limits),
      now_(std::move(now)),
      observer_(std::move(observer)),
      demand_(residency.descriptions().size()) {
  publish();
}

void Loop::run() {
  while (turn() || queue_.wait_for_work(limits_.device, next_wakeup())) {
  }
  residency_.unload_all();
}

bool Loop::turn() {
  settle();
  sweep();
  sync_queue();
  update_models();
  estimate();
  notify_positions();
  if (start_next_work()) return true;
  if (!in_flight_.empty()) {
    settle_oldest();
    return true;
  }
  // What has ended since the sweep is let go of by the next turn.
  return !active_.empty() ||
         std::any_of(claims_.begin(), claims_.end(), [](const auto& claim) { return claim.second->ended(); });
}

void Loop::sweep() {
  for (const auto& request : active_) {
    request->job->ended_or_expired();
    request->sweep();
  }
  std::erase_if(active_, [](const auto& request) { return request->job->ended() && request->images.empty(); });
  std::erase_if(claims_, [this](const auto& claim) {
    if (!claim.second->ended()) return false;
    forget(claim.first);
    return true;
  });
}

void Loop::forget(std::uint64_t request) {
  policy_.left(request);
  last_notified_.erase(request);
}

void Loop::sync_queue() {
  waiting_ = queue_.waiting(limits_.device);
  std::erase_if(waiting_, [](const auto& job) { return job->ended_or_expired(); });
  forget_moved_requests();
  for (const auto& job : waiting_) {
    if (!claims_.try_emplace(job->number(), job).second) continue;
    const auto& options = job->options();
    policy_.arrived({.request = job->number(),
                     .account = options.account,
                     .share = options.share,
                     .priority = options.priority,
                     .total_seconds = job->remaining_seconds()});
  }
}

// A request that waits may be given a place on another device.
void Loop::forget_moved_requests() {
  std::set<std::uint64_t> here;
  for (const auto& job : waiting_) here.insert(job->number());
  for (const auto& request : active_) here.insert(request->job->number());
  std::erase_if(claims_, [&](const auto& claim) {
    if (here.contains(claim.first)) return false;
    forget(claim.first);
    return true;
  });
}

void Loop::update_models() {
  std::fill(demand_.begin(), demand_.end(), Demand{});
  for (const auto& job : waiting_) ++demand_[residency_.index_of(job->request().model)].waiting;
  for (const auto& request : active_) ++demand_[request->model->index].drawing;
  residency_.update(demand_);
  publish();
  std::erase_if(waiting_, [this](const auto& job) {
    const auto failure = residency_.failure(residency_.index_of(job->request().model));
    if (!failure) return false;
    if (!queue_.reassign_from(*job, limits_.device)) job->fail(*failure);
    return true;
  });
}

void Loop::publish() {
  std::vector<double> ready_in;
  const double penalty = breaker_.tripped(now_()) ? kOpenCircuitSeconds : 0;
  for (std::size_t model = 0; model < demand_.size(); ++model) {
    ready_in.push_back(penalty + residency_.ready_in(model, demand_));
  }
  board_.publish(limits_.device, std::move(ready_in));
}

void Loop::estimate() {
  for (const auto& job : waiting_) {
    const auto seconds = costs_.request_seconds(residency_.index_of(job->request().model), job->request());
    job->set_remaining_seconds(seconds);
    policy_.estimated(job->number(), seconds, seconds);
  }
  for (const auto& request : active_) {
    const auto seconds = request->remaining_seconds(costs_.of(request->shape));
    request->job->set_remaining_seconds(seconds);
    policy_.estimated(request->job->number(), request->device_seconds + seconds, seconds);
  }
}

void Loop::notify_positions() {
  for (const auto& job : waiting_) {
    if (!job->listening()) continue;
    const auto now = now_();
    const auto [told, first] = last_notified_.try_emplace(job->number(), now, 0);
    if (!first && now < told->second.first + kPositionInterval) continue;
    const auto position = job->position();
    if (!first && position.ahead == told->second.second) continue;
    told->second = {now, position.ahead};
    job->notify({.kind = ProgressEvent::Kind::kQueued, .position = position});
  }
}

bool Loop::start_next_work() {
  std::vector<CandidateTarget> targets;
  const auto possible = candidates(targets);
  const auto curve = [this](std::size_t model, std::string_view key, int rows) {
    return costs_.step(model, key, rows);
  };
  const auto chosen = policy_.choose(possible, curve);
  if (chosen.empty()) return false;
  const auto& first = targets[chosen.front()];
  if (possible[chosen.front()].kind == WorkKind::kBegin) {
    auto* request = first.waiting ? admit(first.waiting) : first.request;
    if (request) begin(*request);
  } else if (possible[chosen.front()].kind == WorkKind::kFinish) {
    finish(*first.image);
  } else {
    ActiveImages images;
    for (const auto i : chosen) images.push_back(targets[i].image);
    step(images);
  }
  return true;
}

std::vector<Candidate> Loop::candidates(std::vector<CandidateTarget>& targets) const {
  std::vector<Candidate> found;
  for (const auto& request : active_) {
    if (request->job->ended()) continue;
    const auto costs = costs_.of(request->shape);
    if (max_images_to_begin(*request) > 0) {
      found.push_back({.kind = WorkKind::kBegin,
                       .request = request->job->number(),
                       .model = request->model->index,
                       .seconds = costs.begin});
      targets.push_back({nullptr, request.get(), nullptr});
    }
    add_images(*request, costs, found, targets);
  }
  for (const auto& job : waiting_) {
    if (!has_capacity_for(job->remaining_seconds())) continue;
    const auto index = residency_.index_of(job->request().model);
    if (!residency_.find(index)) continue;
    const auto costs = costs_.of(costs_.shape_of(index, job->request()));
    found.push_back({.kind = WorkKind::kBegin, .request = job->number(), .model = index, .seconds = costs.begin});
    targets.push_back({job, nullptr, nullptr});
  }
  return found;
}

void Loop::add_images(const ActiveRequest& request, const CostModel::PerImage& costs, std::vector<Candidate>& found,
                      std::vector<CandidateTarget>& targets) const {
  for (const auto& image : request.images) {
    if (image->decoding) continue;
    const bool finish = image->finished_stepping;
    found.push_back({.kind = finish ? WorkKind::kFinish : WorkKind::kStep,
                     .request = request.job->number(),
                     .steps_done = image->progress.steps_done,
                     .model = request.model->index,
                     .batch_key = image->batch_key,
                     .rows = image->rows,
                     .seconds = finish ? costs.decode : costs.row * image->rows,
                     .max_batch = request.model->batch_limit.current(),
                     .isolated = image->isolated});
    targets.push_back({nullptr, nullptr, image.get()});
  }
}

// Less than none when some are put aside.
std::int64_t Loop::free_capacity() const {
  std::int64_t places = limits_.max_active_generations;
  for (const auto& request : active_) places -= static_cast<std::int64_t>(request->images.size());
  return places;
}

// For the only image in memory of a request that needs so many seconds yet. To begin everybody would gain nothing:
// one who is not much shorter than those who are being drawn has its turn when one of them is done.
bool Loop::has_capacity_for(double seconds) const {
  if (free_capacity() > 0) return true;
  if (free_capacity() + limits_.max_parked_generations <= 0) return false;
  double others = 0, count = 0;
  for (const auto& request : active_) {
    if (request->images.empty()) continue;
    others += request->job->remaining_seconds();
    ++count;
  }
  return seconds * count <= kMuchShorter * others;
}

std::int64_t Loop::max_images_to_begin(const ActiveRequest& request) const {
  const auto kept = limits_.max_active_generations / kReserveDivisor;
  const bool first = request.images.empty() && has_capacity_for(request.job->remaining_seconds());
  return std::min(request.images_to_begin(), std::max<std::int64_t>(first ? 1 : 0, free_capacity() - kept));
}

ActiveRequest* Loop::admit(const std::shared_ptr<QueuedJob>& job) {
  const auto index = residency_.index_of(job->request().model);
  if (!queue_.take(*job, limits_.device)) return nullptr;
  active_.push_back(
      std::make_unique<ActiveRequest>(job, *residency_.find(index), costs_.shape_of(index, job->request())));
  job->mark_started(residency_.device());
  if (observer_) observer_->on_started(job->request().model, job->stats().queued_seconds);
  job->notify({.kind = ProgressEvent::Kind::kStarted});
  return active_.back().get();
}

std::optional<TimePoint> Loop::next_wakeup() const {
  auto next = residency_.next_change(demand_);
  const auto at = [&next](const std::optional<TimePoint>& time) {
    if (time) next = next ? std::min(*next, *time) : *time;
  };
  at(breaker_.tripped_until(now_()));
  for (const auto& job : waiting_) at(job->deadline());
  return next;
}

}  // namespace easel
