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
    return std::count_if(jobs.begin(), jobs.end(), [](const auto& job) { return !job->ended_by_now(); }) == 0;
  };
}

StopPredicate stop_when_all_ended(const std::vector<Picture*>& pictures) {
  std::vector<std::shared_ptr<QueuedJob>> jobs;
  for (const auto* picture : pictures) jobs.push_back(picture->request->job);
  return stop_when_all_ended(std::move(jobs));
}

template <class T>
std::unique_ptr<T> given(std::unique_ptr<T> ticket) {
  if (!ticket) throw Error(ErrorCode::kInternal, "the pipeline gave no ticket");
  return ticket;
}

void expect_count(const char* what, std::size_t found, std::size_t expected) {
  if (found == expected) return;
  throw Error(ErrorCode::kInternal, concat("the pipeline gave ", found, " ", what, ", expected ", expected));
}

}  // namespace

int Loop::Work::rows() const {
  return std::accumulate(parts.begin(), parts.end(), 0, [](int rows, const Part& part) { return rows + part.rows; });
}

Loop::Work Loop::work_of(WorkKind kind, const Pictures& pictures, double estimate) const {
  const auto& request = *pictures.front()->request;
  Work work{.kind = kind,
            .parts = {},
            .pictures = pictures,
            .shape = request.shape,
            .batch_key = pictures.front()->batch_key,
            .estimate = estimate,
            .handed_at = now_()};
  for (const auto* picture : pictures) work.parts.push_back({picture->request->job, picture->rows});
  return work;
}

void Loop::begin(ActiveRequest& request) {
  // As many of its pictures as there are places for. Picture i of n is picture 0 of seed + i, so parts make a whole.
  auto part = request.job->request();
  part.num_images = can_begin(request);
  part.seed += static_cast<std::uint64_t>(request.begun);
  Work work{.kind = WorkKind::kBegin,
            .parts = {{request.job, 1}},
            .pictures = {},
            .shape = request.shape,
            .estimate = costs_.of(request.shape).begin,
            .handed_at = now_()};
  const auto had = request.pictures.size();
  std::unique_ptr<BeginTicket> ticket;
  try {
    ticket = given(request.model->pipeline->begin(part, stop_when_all_ended({request.job})));
    request.adopt(ticket->take(), part.num_images);
  } catch (...) {
    const auto failure = current_failure();
    if (ticket || !found_memory(failure, request, request.retried)) failed(request, failure);
  }
  if (!ticket) return gave_up(work);
  for (auto i = had; i < request.pictures.size(); ++i) work.pictures.push_back(request.pictures[i].get());
  fly(std::move(work), std::move(ticket));
}

void Loop::step(const Pictures& pictures) {
  auto& model = *pictures.front()->request->model;
  auto work = work_of(WorkKind::kStep, pictures, 0);
  work.estimate =
      costs_.step(model.index, work.batch_key, work.rows()).value_or(costs_.of(work.shape).row * work.rows());
  std::vector<Generation*> generations;
  for (const auto* picture : pictures) generations.push_back(picture->generation.get());
  std::unique_ptr<StepTicket> ticket;
  try {
    ticket = given(model.pipeline->step(generations, stop_when_all_ended(pictures)));
  } catch (...) {
    const auto failure = current_failure();
    gave_up(work);
    step_failed(pictures, failure);
    return;
  }
  model.batch_limit.went_well(static_cast<int>(pictures.size()));
  std::vector<std::int64_t> steps_done;
  for (auto* picture : pictures) {
    picture->alone = picture->retried = false;
    try {
      picture->refresh();
    } catch (...) {
      picture->request->fail(current_failure());
    }
    steps_done.push_back(picture->progress.steps_done);
  }
  work.read = [this, pictures, steps_done = std::move(steps_done), result = ticket.get()] {
    read_step(pictures, steps_done, *result);
  };
  fly(std::move(work), std::move(ticket));
}

// No generation has moved, so all of them can be tried again.
void Loop::step_failed(const Pictures& pictures, const Failure& failure) {
  auto& first = *pictures.front();
  if (pictures.size() == 1) {
    if (!found_memory(failure, *first.request, first.retried)) failed(*first.request, failure);
  } else if (failure.code == ErrorCode::kResourceExhausted) {
    auto& model = *first.request->model;
    model.batch_limit.ran_out(static_cast<int>(pictures.size()));
    if (observer_) observer_->on_batch_shrunk(at(model.index), model.batch_limit.current());
  } else {
    for (auto* picture : pictures) picture->alone = true;
  }
}

void Loop::read_step(const Pictures& pictures, const std::vector<std::int64_t>& steps_done, StepTicket& ticket) {
  const auto finite = ticket.finite();
  expect_count("flags for a step", finite.size(), pictures.size());
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    auto& request = *pictures[i]->request;
    if (finite[i]) {
      request.note_steps(*pictures[i], steps_done[i]);
    } else {
      request.fail({ErrorCode::kCorruptData,
                    concat("the model gave infinities or NaN in step ", steps_done[i], " of the picture with seed ",
                           pictures[i]->generation->seed()),
                    {}});
    }
  }
}

void Loop::finish(Picture& picture) {
  auto& request = *picture.request;
  picture.decoding = true;
  request.job->tell({.kind = ProgressEvent::Kind::kDecoding, .picture = picture.index, .progress = picture.progress});
  auto work = work_of(WorkKind::kFinish, {&picture}, costs_.of(request.shape).decode);
  Generation* const generation = picture.generation.get();
  std::unique_ptr<FinishTicket> ticket;
  try {
    // One at a time: a decode takes several steps' time and by far the most memory.
    ticket = given(request.model->pipeline->finish(std::span(&generation, 1), stop_when_all_ended({&picture})));
  } catch (...) {
    const auto failure = current_failure();
    gave_up(work);
    picture.decoding = !found_memory(failure, request, picture.retried);
    if (picture.decoding) failed(request, failure);
    return;
  }
  work.read = [&request, &picture, result = ticket.get()] {
    auto images = result->take();
    expect_count("pictures of a decode", images.size(), 1);
    request.deliver(picture, std::move(images.front()));
  };
  fly(std::move(work), std::move(ticket));
}

// Sends another model away for a request that ran out of memory, once. @return whether it should be tried again
bool Loop::found_memory(const Failure& failure, const ActiveRequest& request, bool& retried) {
  if (failure.code != ErrorCode::kResourceExhausted || std::exchange(retried, true)) return false;
  return residency_.evict_for(request.model->index, demand_);
}

void Loop::fly(Work work, std::unique_ptr<Ticket> ticket) {
  for (auto* picture : work.pictures) ++picture->tickets_in_flight;
  work.ticket = std::move(ticket);
  charge(work, work.estimate);
  in_flight_.push_back(std::move(work));
}

void Loop::failed(ActiveRequest& request, const Failure& failure) {
  if (!request.job->ended()) note_failure(*request.job, failure);
  request.fail(failure);
}

void Loop::note_failure(const QueuedJob& job, const Failure& failure) {
  health_.failed(job.number(), failure.code, now_());
  publish();  // before anybody else is given a place here
}

// The call failed or was stopped: it took time, which says nothing about what such work costs.
void Loop::gave_up(const Work& work) {
  charge(work, seconds_between(work.handed_at, now_()));
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
    for (const auto& part : work.parts) note_failure(*part.job, *failure);
  }
  // A device does one thing after the other, so this is what it spent on this ticket.
  const auto now = now_();
  const auto seconds = seconds_between(std::max(work.handed_at, settled_at_), now);
  settled_at_ = now;
  charge(work, seconds - work.estimate);
  if (!failure) measured(work, seconds);
  try {
    if (!failure && work.read) work.read();
  } catch (...) {
    failure = current_failure();
  }
  for (auto* picture : work.pictures) {
    if (failure) picture->request->fail(*failure);
    --picture->tickets_in_flight;
  }
}

void Loop::measured(const Work& work, double seconds) {
  const auto rows = work.rows();
  for (auto* picture : work.pictures) {
    const auto part = work.kind == WorkKind::kBegin ? 1.0 / static_cast<double>(work.pictures.size())
                                                    : static_cast<double>(picture->rows) / std::max(rows, 1);
    picture->request->device_seconds += seconds * part;
  }
  for (const auto& part : work.parts) {
    part.job->note_work(seconds * part.rows / std::max(rows, 1), work.kind == WorkKind::kStep ? rows : 0);
  }
  health_.worked();
  residency_.used(work.shape.model);
  if (work.kind == WorkKind::kBegin) {
    costs_.add_begin(work.shape, seconds);
    if (observer_) observer_->on_begin(at(work.shape.model), static_cast<std::int64_t>(work.pictures.size()), seconds);
  } else if (work.kind == WorkKind::kFinish) {
    costs_.add_decode(work.shape, seconds);
    if (observer_) observer_->on_decode(at(work.shape.model), seconds);
  } else {
    costs_.add_step(work.shape, work.batch_key, rows, seconds);
    if (observer_) observer_->on_step(at(work.shape.model), rows, static_cast<int>(work.pictures.size()), seconds);
  }
}

void Loop::charge(const Work& work, double seconds) {
  std::vector<Portion> portions;
  const auto rows = std::max(work.rows(), 1);
  for (const auto& part : work.parts) portions.push_back({part.job->number(), seconds * part.rows / rows});
  policy_.spent(portions);
}

}  // namespace easel
