#include "engine/loop.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "core/text.h"

namespace easel {

namespace {

// A listener receives its queue position at most this often.
constexpr std::chrono::seconds kPositionInterval{1};

std::string describe(WorkKind kind, const std::string& model) {
  const char* const name = kind == WorkKind::kBegin ? "begin" : kind == WorkKind::kStep ? "step" : "decode";
  return concat(name, " of model ", model);
}

Admission::Running state_of(const ActiveRequest& request) {
  return {.images = static_cast<std::int64_t>(request.images.size()),
          .not_begun = request.images_to_begin(),
          .remaining_seconds = request.job->remaining_seconds()};
}

}  // namespace

Loop::Loop(Queue& queue, Residency& residency, DeviceBoard& board, Policy& policy, Limits limits, Clock now,
           std::shared_ptr<EngineObserver> observer)
    : queue_(queue),
      residency_(residency),
      costs_(board.costs(limits.device)),
      policy_(policy),
      limits_(limits),
      now_(std::move(now)),
      observer_(std::move(observer)),
      availability_(board, limits.device, residency, now_),
      activity_(now_),
      in_flight_(costs_, policy, residency, availability_, limits.max_steps_in_flight, now_, observer_),
      dispatcher_(costs_, residency, availability_, in_flight_, activity_, now_, observer_) {}

void Loop::run() {
  do {
    while (turn()) {
    }
    activity_.rested();
  } while (queue_.wait_for_work(limits_.device, next_wakeup()));
  residency_.unload_all();
}

bool Loop::turn() {
  activity_.turned();
  in_flight_.settle();
  end_requests_of_lost_device();
  sweep();
  sync_queue();
  count_queue_time();
  update_models();
  estimate();
  notify_positions();
  if (start_next_work()) return true;
  if (!in_flight_.empty()) {
    in_flight_.settle_oldest();
    return true;
  }
  // Requests that have ended since the sweep are dropped by the next turn.
  return !active_.empty() ||
         std::any_of(claims_.begin(), claims_.end(), [](const auto& claim) { return claim.second->ended(); });
}

void Loop::end_requests_of_lost_device() {
  if (!residency_.lost()) return;
  for (const auto& request : active_) request->fail(*residency_.lost());
}

void Loop::sweep() {
  for (const auto& request : active_) {
    request->job->ended_or_expired();
    std::erase_if(request->images,
                  [&](const auto& image) { return request->released(*image) && !in_flight_.holds(*image); });
  }
  std::erase_if(active_, [](const auto& request) { return request->job->ended() && request->images.empty(); });
  std::erase_if(claims_, [this](const auto& claim) {
    if (!claim.second->ended()) return false;
    forget(claim.first);
    return true;
  });
}

/// Models are found by name in every turn, because they may be added, replaced and removed at any time.
void Loop::find_models() {
  models_of_waiting_.clear();
  std::erase_if(waiting_, [this](const auto& job) {
    const auto& name = job->request().model;
    const auto id = residency_.find_id(name);
    if (id) {
      models_of_waiting_[job->number()] = *id;
      return false;
    }
    const auto unknown = ModelIds::unknown(name);
    job->fail({unknown.code(), unknown.what(), unknown.param()});
    return true;
  });
}

void Loop::forget(std::uint64_t request) {
  policy_.left(request);
  notified_.erase(request);
}

void Loop::sync_queue() {
  waiting_ = queue_.waiting(limits_.device);
  std::erase_if(waiting_, [](const auto& job) { return job->ended_or_expired(); });
  find_models();
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

// A request waits for as long as the device works for other accounts. The time in which its model loads does not count.
void Loop::count_queue_time() {
  const auto done = in_flight_.take_done();
  std::erase_if(waiting_, [&](const auto& job) {
    if (residency_.loading(model_of(*job))) return false;
    for (const auto& work : done) {
      const auto own = work.accounts.count(job->options().account);
      if (work.accounts.size() > own) job->add_queue_seconds(work.seconds);
    }
    return job->ended_or_queue_timed_out();
  });
}

// The queue may have moved a waiting request to another device.
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
  DemandByModel demand;
  for (const auto& job : waiting_) ++demand[model_of(*job)].waiting;
  for (const auto& request : active_) ++demand[request->model->id].running;
  residency_.update(std::move(demand));
  availability_.publish();
  std::erase_if(waiting_, [this](const auto& job) {
    if (residency_.removed(model_of(*job))) return true;  // it is given another one in the next turn, or fails
    const auto failure = residency_.failure(model_of(*job));
    if (!failure) return false;
    if (!queue_.reassign_from(*job, limits_.device)) job->fail(*failure);
    return true;
  });
}

void Loop::estimate() {
  for (const auto& job : waiting_) {
    const auto seconds = costs_.request_seconds(model_of(*job), job->request());
    job->set_remaining_seconds(seconds);
    policy_.estimated(job->number(), seconds, seconds);
  }
  for (const auto& request : active_) {
    const auto seconds = request->remaining_seconds(costs_);
    request->job->set_remaining_seconds(seconds);
    policy_.estimated(request->job->number(), request->device_seconds + seconds, seconds);
  }
}

void Loop::notify_positions() {
  for (const auto& job : waiting_) {
    if (!job->listening()) continue;
    const auto now = now_();
    const auto [latest, first] = notified_.try_emplace(job->number(), NotifiedPosition{now, 0});
    if (!first && now < latest->second.at + kPositionInterval) continue;
    const auto position = job->position();
    if (!first && position.ahead == latest->second.ahead) continue;
    latest->second = {now, position.ahead};
    job->notify({.kind = ProgressEvent::Kind::kQueued, .position = position});
  }
}

bool Loop::start_next_work() {
  std::vector<CandidateTarget> targets;
  const auto possible = candidates(targets);
  const auto curve = [this](ModelId model, std::string_view key, int rows) { return costs_.step(model, key, rows); };
  const auto chosen = policy_.choose(possible, curve);
  if (chosen.empty()) return false;
  start(targets, chosen, possible[chosen.front()].kind);
  return true;
}

void Loop::start(const std::vector<CandidateTarget>& targets, const std::vector<std::size_t>& chosen, WorkKind kind) {
  const auto& first = targets[chosen.front()];
  if (kind == WorkKind::kBegin) {
    const auto* waiting = std::get_if<std::shared_ptr<QueuedJob>>(&first);
    const auto request = waiting ? admit(*waiting) : std::get<std::shared_ptr<ActiveRequest>>(first);
    if (!request) return;
    activity_.doing(describe(kind, request->job->request().model));
    dispatcher_.begin(request, admission().images_to_begin(state_of(*request)));
    return;
  }
  activity_.doing(describe(kind, std::get<ActiveImageRef>(first).request->job->request().model));
  if (kind == WorkKind::kFinish) {
    dispatcher_.finish(std::get<ActiveImageRef>(first));
  } else {
    std::vector<ActiveImageRef> images;
    for (const auto i : chosen) images.push_back(std::get<ActiveImageRef>(targets[i]));
    dispatcher_.step(images);
  }
}

std::vector<Candidate> Loop::candidates(std::vector<CandidateTarget>& targets) const {
  const auto places = admission();
  std::vector<Candidate> found;
  for (const auto& request : active_) {
    if (request->job->ended()) continue;
    if (places.images_to_begin(state_of(*request)) > 0) {
      found.push_back({.kind = WorkKind::kBegin,
                       .request = request->job->number(),
                       .model = request->model->id,
                       .seconds = costs_.of(request->shape).begin});
      targets.push_back(request);
    }
    add_images(request, found, targets);
  }
  for (const auto& job : waiting_) {
    if (!places.admits_first_image(job->remaining_seconds())) continue;
    const auto model = model_of(*job);
    if (!residency_.find(model)) continue;
    const auto costs = costs_.of(costs_.shape_of(model, job->request()));
    found.push_back({.kind = WorkKind::kBegin, .request = job->number(), .model = model, .seconds = costs.begin});
    targets.push_back(job);
  }
  return found;
}

void Loop::add_images(const std::shared_ptr<ActiveRequest>& request, std::vector<Candidate>& found,
                      std::vector<CandidateTarget>& targets) const {
  for (const auto& image : request->images) {
    if (image->decoding) continue;
    const auto costs = costs_.of(request->shape_of(*image));
    const bool finish = image->finished_stepping;
    found.push_back({.kind = finish ? WorkKind::kFinish : WorkKind::kStep,
                     .request = request->job->number(),
                     .steps_done = image->progress.steps_done,
                     .model = request->model->id,
                     .batch_key = image->batch_key,
                     .rows = image->rows,
                     .seconds = finish ? costs.decode : costs.row * image->rows,
                     .max_batch = request->model->batch_limit.current(),
                     .isolated = image->isolated});
    targets.push_back(ActiveImageRef{request, image});
  }
}

Admission Loop::admission() const {
  std::vector<Admission::Running> running;
  for (const auto& request : active_) running.push_back(state_of(*request));
  return Admission({.max_active = limits_.max_active_generations, .max_parked = limits_.max_parked_generations},
                   std::move(running));
}

std::shared_ptr<ActiveRequest> Loop::admit(const std::shared_ptr<QueuedJob>& job) {
  const auto model = model_of(*job);
  if (!queue_.take(*job, limits_.device)) return nullptr;
  active_.push_back(std::make_shared<ActiveRequest>(job, *residency_.find(model), costs_));
  job->mark_started(residency_.device());
  if (observer_) observer_->on_started(job->request().model, job->stats().queued_seconds);
  job->notify({.kind = ProgressEvent::Kind::kStarted});
  return active_.back();
}

std::optional<TimePoint> Loop::next_wakeup() const {
  auto next = residency_.next_change();
  const auto at = [&next](const std::optional<TimePoint>& time) {
    if (time) next = next ? std::min(*next, *time) : *time;
  };
  at(availability_.next_change());
  for (const auto& job : waiting_) at(job->deadline());
  return next;
}

}  // namespace easel
