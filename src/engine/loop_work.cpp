// How a unit of work is handed to a pipeline, and what comes back.
#include <algorithm>
#include <numeric>
#include <utility>

#include "core/text.h"
#include "engine/loop.h"

namespace easel {

namespace {

// True when nobody waits for any of these any more.
StopPredicate stop_when_all_ended(std::vector<std::shared_ptr<QueuedJob>> jobs) {
  return [jobs = std::move(jobs)] {
    // Each is asked: a deadline is kept although the call goes on for others.
    return std::count_if(jobs.begin(), jobs.end(), [](const auto& job) { return !job->ended_or_expired(); }) == 0;
  };
}

StopPredicate stop_when_all_ended(const std::vector<ActiveImage*>& images) {
  std::vector<std::shared_ptr<QueuedJob>> jobs;
  for (const auto* image : images) jobs.push_back(image->request->job);
  return stop_when_all_ended(std::move(jobs));
}

template <class T>
std::unique_ptr<T> require_ticket(std::unique_ptr<T> ticket) {
  if (!ticket) throw Error(ErrorCode::kInternal, "the pipeline gave no ticket");
  return ticket;
}

void expect_count(const char* what, std::size_t found, std::size_t expected) {
  if (found == expected) return;
  throw Error(ErrorCode::kInternal, concat("the pipeline gave ", found, " ", what, ", expected ", expected));
}

}  // namespace

int Loop::Work::rows() const {
  return std::accumulate(participants.begin(), participants.end(), 0,
                         [](int rows, const Participant& part) { return rows + part.rows; });
}

Loop::Work Loop::make_work(WorkKind kind, const ActiveImages& images, double estimate) const {
  const auto& request = *images.front()->request;
  Work work{.kind = kind,
            .participants = {},
            .images = images,
            .shape = request.shape,
            .batch_key = images.front()->batch_key,
            .estimate = estimate,
            .enqueued_at = now_()};
  for (const auto* image : images) work.participants.push_back({image->request->job, image->rows});
  return work;
}

void Loop::begin(ActiveRequest& request) {
  // As many of its images as there are places for. Image i of n is image 0 of seed + i, so parts make a whole.
  auto part = request.job->request();
  part.num_images = max_images_to_begin(request);
  part.seed += static_cast<std::uint64_t>(request.begun);
  Work work{.kind = WorkKind::kBegin,
            .participants = {{request.job, 1}},
            .images = {},
            .shape = request.shape,
            .estimate = costs_.of(request.shape).begin,
            .enqueued_at = now_()};
  const auto had = request.images.size();
  std::unique_ptr<BeginTicket> ticket;
  try {
    ticket = require_ticket(request.model->pipeline->begin(part, stop_when_all_ended({request.job})));
    request.adopt(ticket->take(), part.num_images);
  } catch (...) {
    const auto failure = current_failure();
    if (ticket || !evict_for_retry(failure, request, request.retried)) failed(request, failure);
  }
  if (!ticket) return charge_aborted(work);
  for (auto i = had; i < request.images.size(); ++i) work.images.push_back(request.images[i].get());
  enqueue(std::move(work), std::move(ticket));
}

void Loop::step(const ActiveImages& images) {
  auto& model = *images.front()->request->model;
  auto work = make_work(WorkKind::kStep, images, 0);
  work.estimate =
      costs_.step(model.index, work.batch_key, work.rows()).value_or(costs_.of(work.shape).row * work.rows());
  std::vector<Generation*> generations;
  for (const auto* image : images) generations.push_back(image->generation.get());
  std::unique_ptr<StepTicket> ticket;
  try {
    ticket = require_ticket(model.pipeline->step(generations, stop_when_all_ended(images)));
  } catch (...) {
    const auto failure = current_failure();
    charge_aborted(work);
    step_failed(images, failure);
    return;
  }
  model.batch_limit.record_success(static_cast<int>(images.size()));
  std::vector<std::int64_t> steps_done;
  for (auto* image : images) {
    image->isolated = image->retried = false;
    try {
      image->refresh();
    } catch (...) {
      image->request->fail(current_failure());
    }
    steps_done.push_back(image->progress.steps_done);
  }
  work.on_settled = [this, images, steps_done = std::move(steps_done), result = ticket.get()] {
    complete_step(images, steps_done, *result);
  };
  enqueue(std::move(work), std::move(ticket));
}

// No generation has moved, so all of them can be tried again.
void Loop::step_failed(const ActiveImages& images, const Failure& failure) {
  auto& first = *images.front();
  if (images.size() == 1) {
    if (!evict_for_retry(failure, *first.request, first.retried)) failed(*first.request, failure);
  } else if (failure.code == ErrorCode::kResourceExhausted) {
    auto& model = *first.request->model;
    model.batch_limit.record_out_of_memory(static_cast<int>(images.size()));
    if (observer_) observer_->on_batch_shrunk(at(model.index), model.batch_limit.current());
  } else {
    for (auto* image : images) image->isolated = true;
  }
}

void Loop::complete_step(const ActiveImages& images, const std::vector<std::int64_t>& steps_done, StepTicket& ticket) {
  const auto finite = ticket.finite();
  expect_count("flags for a step", finite.size(), images.size());
  for (std::size_t i = 0; i < images.size(); ++i) {
    auto& request = *images[i]->request;
    if (finite[i]) {
      request.record_steps(*images[i], steps_done[i]);
    } else {
      request.fail({ErrorCode::kCorruptData,
                    concat("the model gave infinities or NaN in step ", steps_done[i], " of the image with seed ",
                           images[i]->generation->seed()),
                    {}});
    }
  }
}

void Loop::finish(ActiveImage& image) {
  auto& request = *image.request;
  image.decoding = true;
  request.job->notify({.kind = ProgressEvent::Kind::kDecoding, .image = image.index, .progress = image.progress});
  auto work = make_work(WorkKind::kFinish, {&image}, costs_.of(request.shape).decode);
  Generation* const generation = image.generation.get();
  std::unique_ptr<FinishTicket> ticket;
  try {
    // One at a time: a decode takes several steps' time and by far the most memory.
    ticket = require_ticket(request.model->pipeline->finish(std::span(&generation, 1), stop_when_all_ended({&image})));
  } catch (...) {
    const auto failure = current_failure();
    charge_aborted(work);
    image.decoding = !evict_for_retry(failure, request, image.retried);
    if (image.decoding) failed(request, failure);
    return;
  }
  work.on_settled = [&request, &image, result = ticket.get()] {
    auto images = result->take();
    expect_count("images of a decode", images.size(), 1);
    request.deliver(image, std::move(images.front()));
  };
  enqueue(std::move(work), std::move(ticket));
}

// Sends another model away for a request that ran out of memory, once. @return whether it should be tried again
bool Loop::evict_for_retry(const Failure& failure, const ActiveRequest& request, bool& retried) {
  if (failure.code != ErrorCode::kResourceExhausted || std::exchange(retried, true)) return false;
  return residency_.evict_for(request.model->index, demand_);
}

void Loop::enqueue(Work work, std::unique_ptr<Ticket> ticket) {
  for (auto* image : work.images) ++image->tickets_in_flight;
  work.ticket = std::move(ticket);
  charge(work, work.estimate);
  in_flight_.push_back(std::move(work));
}

void Loop::failed(ActiveRequest& request, const Failure& failure) {
  if (!request.job->ended()) note_failure(*request.job, failure);
  request.fail(failure);
}

void Loop::note_failure(const QueuedJob& job, const Failure& failure) {
  breaker_.failed(job.number(), failure.code, now_());
  publish();  // before anybody else is given a place here
}

// The call failed or was stopped: it took time, which says nothing about what such work costs.
void Loop::charge_aborted(const Work& work) {
  charge(work, seconds_between(work.enqueued_at, now_()));
}

void Loop::settle() {
  const auto full = static_cast<std::size_t>(limits_.max_steps_in_flight);
  while (!in_flight_.empty() && (in_flight_.size() >= full || oldest_is_done())) settle_oldest();
}

bool Loop::oldest_is_done() const {
  try {
    return in_flight_.front().ticket->done();
  } catch (...) {
    return true;  // wait() will say what is wrong
  }
}

void Loop::settle_oldest() {
  const auto work = std::move(in_flight_.front());
  in_flight_.pop_front();
  std::optional<Failure> failure;
  try {
    work.ticket->wait();
  } catch (...) {
    failure = current_failure();
    for (const auto& part : work.participants) note_failure(*part.job, *failure);
  }
  // A device does one thing after the other, so this is what it spent on this ticket.
  const auto now = now_();
  const auto seconds = seconds_between(std::max(work.enqueued_at, settled_at_), now);
  settled_at_ = now;
  charge(work, seconds - work.estimate);
  if (!failure) record_cost(work, seconds);
  try {
    if (!failure && work.on_settled) work.on_settled();
  } catch (...) {
    failure = current_failure();
  }
  for (auto* image : work.images) {
    if (failure) image->request->fail(*failure);
    --image->tickets_in_flight;
  }
}

void Loop::record_cost(const Work& work, double seconds) {
  const auto rows = work.rows();
  for (auto* image : work.images) {
    const auto part = work.kind == WorkKind::kBegin ? 1.0 / static_cast<double>(work.images.size())
                                                    : static_cast<double>(image->rows) / std::max(rows, 1);
    image->request->device_seconds += seconds * part;
  }
  for (const auto& part : work.participants) {
    part.job->add_device_time(seconds * part.rows / std::max(rows, 1), work.kind == WorkKind::kStep ? rows : 0);
  }
  breaker_.succeeded();
  residency_.used(work.shape.model);
  if (work.kind == WorkKind::kBegin) {
    costs_.add_begin(work.shape, seconds);
    if (observer_) observer_->on_begin(at(work.shape.model), static_cast<std::int64_t>(work.images.size()), seconds);
  } else if (work.kind == WorkKind::kFinish) {
    costs_.add_decode(work.shape, seconds);
    if (observer_) observer_->on_decode(at(work.shape.model), seconds);
  } else {
    costs_.add_step(work.shape, work.batch_key, rows, seconds);
    if (observer_) observer_->on_step(at(work.shape.model), rows, static_cast<int>(work.images.size()), seconds);
  }
}

void Loop::charge(const Work& work, double seconds) {
  std::vector<DeviceTime> portions;
  const auto rows = std::max(work.rows(), 1);
  for (const auto& part : work.participants) portions.push_back({part.job->number(), seconds * part.rows / rows});
  policy_.spent(portions);
}

}  // namespace easel
