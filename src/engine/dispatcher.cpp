#include "engine/dispatcher.h"

#include <algorithm>
#include <span>
#include <utility>

namespace easel {

namespace {

template <class T>
std::unique_ptr<T> require_ticket(std::unique_ptr<T> ticket) {
  if (!ticket) throw Error(ErrorCode::kInternal, "the pipeline returned no ticket");
  return ticket;
}

}  // namespace

Dispatcher::Dispatcher(CostModel& costs, Residency& residency, Availability& availability, InFlight& in_flight,
                       Activity& activity, Clock now, std::shared_ptr<EngineObserver> observer)
    : costs_(costs),
      residency_(residency),
      availability_(availability),
      in_flight_(in_flight),
      activity_(activity),
      now_(std::move(now)),
      observer_(std::move(observer)) {}

// True when every request has ended, so that nobody waits for the call's result. It is asked between the blocks of a
// model, so that a long step is not taken for a stall.
StopPredicate Dispatcher::stop_when_all_ended(std::vector<std::shared_ptr<QueuedJob>> jobs) {
  return [this, jobs = std::move(jobs)] {
    activity_.progressed();
    // Asks every job, without stopping at the first that goes on: this is what ends a job whose deadline has passed.
    return std::count_if(jobs.begin(), jobs.end(), [](const auto& job) { return !job->ended_or_expired(); }) == 0;
  };
}

StopPredicate Dispatcher::stop_when_all_ended(const std::vector<ActiveImageRef>& images) {
  std::vector<std::shared_ptr<QueuedJob>> jobs;
  for (const auto& each : images) jobs.push_back(each.request->job);
  return stop_when_all_ended(std::move(jobs));
}

WorkInfo Dispatcher::info_of(const std::vector<ActiveImageRef>& images) const {
  WorkInfo info{.parts = {},
                .shape = images.front().request->shape_of(*images.front().image),
                .batch_key = images.front().image->batch_key,
                .enqueued_at = now_()};
  for (const auto& [request, image] : images) info.parts.push_back({request, image, image->rows});
  return info;
}

void Dispatcher::begin(const std::shared_ptr<ActiveRequest>& request, std::int64_t images) {
  // Image i of n is image 0 of seed + i, so a request can be begun in parts.
  auto part = request->job->request();
  part.num_images = images;
  part.seed += static_cast<std::uint64_t>(request->begun);
  WorkInfo info{.parts = {{request, nullptr}},
                .shape = request->shape,
                .estimate = costs_.of(request->shape).begin,
                .enqueued_at = now_()};
  const auto images_before = static_cast<std::ptrdiff_t>(request->images.size());
  std::unique_ptr<BeginTicket> ticket;
  try {
    ticket = require_ticket(request->model->pipeline->begin(part, stop_when_all_ended({request->job})));
    request->adopt(ticket->take(), part.num_images);
  } catch (...) {
    const auto failure = current_failure();
    if (ticket || !evict_for_retry(failure, *request, request->retried)) fail(*request, failure);
  }
  if (!ticket) return in_flight_.charge_aborted(info);
  std::vector<std::shared_ptr<ActiveImage>> begun(request->images.begin() + images_before, request->images.end());
  in_flight_.enqueue(std::make_unique<BeginWork>(std::move(info), std::move(ticket), std::move(begun)));
}

void Dispatcher::step(const std::vector<ActiveImageRef>& images) {
  auto& model = *images.front().request->model;
  auto info = info_of(images);
  info.estimate = costs_.step(model.id, info.batch_key, info.rows()).value_or(costs_.of(info.shape).row * info.rows());
  std::vector<Generation*> generations;
  for (const auto& each : images) generations.push_back(each.image->generation.get());
  std::unique_ptr<StepTicket> ticket;
  try {
    ticket = require_ticket(model.pipeline->step(generations, stop_when_all_ended(images)));
  } catch (...) {
    const auto failure = current_failure();
    in_flight_.charge_aborted(info);
    step_failed(images, failure);
    return;
  }
  model.batch_limit.record_success(static_cast<int>(images.size()));
  std::vector<std::int64_t> steps_done;
  bool changed_pass = false;
  for (const auto& [request, image] : images) {
    image->isolated = image->retried = false;
    const auto passes = image->completed_passes;
    try {
      image->refresh(*model.pipeline);
    } catch (...) {
      request->fail(current_failure());
    }
    steps_done.push_back(image->progress.steps_done);
    changed_pass = changed_pass || image->completed_passes != passes;
  }
  info.typical = !changed_pass;
  in_flight_.enqueue(std::make_unique<StepWork>(std::move(info), std::move(ticket), std::move(steps_done)));
}

// No generation has moved, so all of them can be tried again.
void Dispatcher::step_failed(const std::vector<ActiveImageRef>& images, const Failure& failure) {
  const auto& first = images.front();
  if (failure.code == ErrorCode::kDeviceLost) {
    for (const auto& each : images) fail(*each.request, failure);
  } else if (images.size() == 1) {
    if (!evict_for_retry(failure, *first.request, first.image->retried)) fail(*first.request, failure);
  } else if (failure.code == ErrorCode::kResourceExhausted) {
    auto& model = *first.request->model;
    model.batch_limit.record_out_of_memory(static_cast<int>(images.size()));
    if (observer_) observer_->on_batch_shrunk(residency_.labels(model.id), model.batch_limit.current());
  } else {
    for (const auto& each : images) each.image->isolated = true;
  }
}

void Dispatcher::finish(const ActiveImageRef& target) {
  auto& [request, image] = target;
  image->decoding = true;
  request->job->notify({.kind = ProgressEvent::Kind::kDecoding, .image = image->index, .progress = image->progress});
  auto info = info_of({target});
  info.estimate = costs_.of(info.shape).decode;
  Generation* const generation = image->generation.get();
  std::unique_ptr<FinishTicket> ticket;
  try {
    // One image at a time: a decode takes as long as several steps, and by far the most memory.
    ticket = require_ticket(
        request->model->pipeline->finish(std::span(&generation, 1), stop_when_all_ended({request->job})));
  } catch (...) {
    const auto failure = current_failure();
    in_flight_.charge_aborted(info);
    image->decoding = !evict_for_retry(failure, *request, image->retried);
    if (image->decoding) fail(*request, failure);
    return;
  }
  in_flight_.enqueue(std::make_unique<FinishWork>(std::move(info), std::move(ticket)));
}

// Evicts another model for a request that ran out of memory, once. @return whether the call should be tried again
bool Dispatcher::evict_for_retry(const Failure& failure, const ActiveRequest& request, bool& retried) {
  if (failure.code != ErrorCode::kResourceExhausted || std::exchange(retried, true)) return false;
  return residency_.evict_for(request.model->id);
}

void Dispatcher::fail(ActiveRequest& request, const Failure& failure) {
  const bool lost = failure.code == ErrorCode::kDeviceLost;
  if (lost || !request.job->ended()) availability_.record_failure(*request.job, failure);
  request.fail(failure);
}

}  // namespace easel
