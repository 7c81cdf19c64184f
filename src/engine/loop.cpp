#include "engine/loop.h"

#include <algorithm>
#include <utility>

#include "core/text.h"

namespace easel {

namespace {

// True when nobody waits for any of these pictures any more.
StopPredicate stop_when_all_ended(const std::vector<Picture*>& pictures) {
  std::vector<std::shared_ptr<QueuedJob>> jobs;
  for (const auto* picture : pictures) jobs.push_back(picture->request->job);
  return [jobs = std::move(jobs)] {
    // Each is asked: a deadline is kept although the call goes on for others.
    return std::count_if(jobs.begin(), jobs.end(), [](const auto& job) { return !job->ended_by_now(); }) == 0;
  };
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

void Loop::run() {
  try {
    residency_.get(residency_.descriptions().front().id);
  } catch (const Error&) {
    // Logged and kept by the residency; the model's requests are told.
  }
  while (turn()) {
  }
  residency_.unload_all();
}

bool Loop::turn() {
  settle();
  sweep();
  residency_.do_as_asked([this](std::size_t model) {
    return std::any_of(active_.begin(), active_.end(), [&](const auto& r) { return r->model->index == model; });
  });
  admit();
  std::vector<Subject> subjects;
  const auto possible = candidates(subjects);
  const auto chosen = choose_work(possible);
  if (chosen.empty()) {
    if (!in_flight_.empty()) {
      settle_oldest();
      return true;
    }
    // With requests left, all of them were cancelled since the sweep: the next turn sees to it.
    return !active_.empty() || queue_.wait_for_work();
  }

  const auto& leader = possible[chosen.front()];
  fair_share_.lead(leader.served);
  if (leader.kind == WorkKind::kBegin) {
    begin(*subjects[chosen.front()].request);
  } else if (leader.kind == WorkKind::kFinish) {
    finish(*subjects[chosen.front()].picture);
  } else {
    Pictures pictures;
    for (const auto i : chosen) pictures.push_back(subjects[i].picture);
    step(pictures);
  }
  return true;
}

void Loop::settle() {
  const auto full = static_cast<std::size_t>(options_.max_steps_in_flight);
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
  const auto flight = std::move(in_flight_.front());
  in_flight_.pop_front();
  try {
    flight.ticket->wait();
    if (flight.read) flight.read();
  } catch (...) {
    const auto failure = current_failure();
    for (auto* picture : flight.pictures) picture->request->fail(failure);
  }
  for (auto* picture : flight.pictures) --picture->tickets_in_flight;
}

void Loop::sweep() {
  for (const auto& request : active_) request->sweep();
  std::erase_if(active_, [](const auto& request) { return request->job->ended() && request->pictures.empty(); });
}

void Loop::admit() {
  for (const auto& job : queue_.waiting()) {
    if (free_places() <= 0) return;
    if (job->ended_by_now() || !queue_.take(*job)) continue;
    try {
      auto& model = residency_.get(job->request().model);
      active_.push_back(std::make_unique<ActiveRequest>(job, model, fair_share_.opening_account()));
    } catch (...) {
      job->fail(current_failure());
    }
  }
}

std::int64_t Loop::free_places() const {
  std::int64_t places = options_.max_active_generations;
  for (const auto& request : active_) {
    places -= request->needs_place() ? 1 : static_cast<std::int64_t>(request->pictures.size());
  }
  return places;
}

std::int64_t Loop::can_begin(const ActiveRequest& request) const {
  const auto places = free_places() + (request.needs_place() ? 1 : 0);  // its own was set aside when it was admitted
  return std::min(request.to_begin(), places);
}

std::vector<Candidate> Loop::candidates(std::vector<Subject>& subjects) const {
  std::vector<Candidate> found;
  const auto add = [&](const ActiveRequest& request, WorkKind kind) -> Candidate& {
    return found.emplace_back(Candidate{.kind = kind,
                                        .served = request.served,
                                        .request = request.job->number(),
                                        .model = request.model->index,
                                        .most_at_once = request.model->batch_limit.current()});
  };
  for (const auto& request : active_) {
    if (request->job->ended()) continue;
    if (can_begin(*request) > 0) {
      add(*request, WorkKind::kBegin);
      subjects.push_back({request.get(), nullptr});
    }
    for (const auto& picture : request->pictures) {
      if (picture->decoding) continue;
      auto& candidate = add(*request, picture->finished_stepping ? WorkKind::kFinish : WorkKind::kStep);
      candidate.steps_done = picture->progress.steps_done;
      candidate.batch_key = picture->batch_key;
      candidate.alone = picture->alone;
      subjects.push_back({nullptr, picture.get()});
    }
  }
  return found;
}

void Loop::begin(ActiveRequest& request) {
  // As many of its pictures as there are places for. Picture i of n is picture 0 of seed + i, so parts make a whole.
  auto part = request.job->request();
  part.num_images = can_begin(request);
  part.seed += static_cast<std::uint64_t>(request.begun);
  request.served += begin_cost(request.row_cost);
  request.job->note_start();
  const auto had = request.pictures.size();
  std::unique_ptr<BeginTicket> ticket;
  try {
    ticket = given(request.model->pipeline->begin(part, [job = request.job] { return job->ended_by_now(); }));
    request.adopt(ticket->take(), part.num_images);
  } catch (...) {
    request.fail(current_failure());
  }
  if (!ticket) return;
  Pictures begun;
  for (auto i = had; i < request.pictures.size(); ++i) begun.push_back(request.pictures[i].get());
  fly(std::move(ticket), std::move(begun), {});
}

void Loop::step(const Pictures& pictures) {
  auto& model = *pictures.front()->request->model;
  std::vector<Generation*> generations;
  for (const auto* picture : pictures) generations.push_back(picture->generation.get());
  std::unique_ptr<StepTicket> ticket;
  try {
    ticket = given(model.pipeline->step(generations, stop_when_all_ended(pictures)));
  } catch (...) {
    step_failed(pictures, current_failure());
    return;
  }
  model.batch_limit.went_well(static_cast<int>(pictures.size()));
  std::vector<std::int64_t> steps_done;
  for (auto* picture : pictures) {
    picture->alone = false;
    picture->request->served += step_cost(picture->request->row_cost, picture->rows);
    try {
      picture->refresh();
    } catch (...) {
      picture->request->fail(current_failure());
    }
    steps_done.push_back(picture->progress.steps_done);
  }
  auto read = [this, pictures, steps_done = std::move(steps_done), result = ticket.get()] {
    read_step(pictures, steps_done, *result);
  };
  fly(std::move(ticket), pictures, std::move(read));
}

// No generation has moved, so all of them can be tried again.
void Loop::step_failed(const Pictures& pictures, const Failure& failure) {
  if (pictures.size() == 1) {
    pictures.front()->request->fail(failure);
  } else if (failure.code == ErrorCode::kResourceExhausted) {
    pictures.front()->request->model->batch_limit.ran_out(static_cast<int>(pictures.size()));
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
      request.fail({ErrorCode::kInternal,
                    concat("the model gave infinities or NaN in step ", steps_done[i], " of the picture with seed ",
                           pictures[i]->generation->seed()),
                    {}});
    }
  }
}

void Loop::finish(Picture& picture) {
  auto& request = *picture.request;
  picture.decoding = true;
  request.served += finish_cost(request.row_cost);
  Generation* const generation = picture.generation.get();
  try {
    // One at a time: a decode takes several steps' time and by far the most memory.
    auto ticket = given(request.model->pipeline->finish(std::span(&generation, 1), stop_when_all_ended({&picture})));
    auto read = [&request, &picture, result = ticket.get()] {
      auto images = result->take();
      expect_count("pictures of a decode", images.size(), 1);
      request.deliver(picture, std::move(images.front()));
    };
    fly(std::move(ticket), {&picture}, std::move(read));
  } catch (...) {
    request.fail(current_failure());
  }
}

void Loop::fly(std::unique_ptr<Ticket> ticket, Pictures pictures, std::function<void()> read) {
  for (auto* picture : pictures) ++picture->tickets_in_flight;
  in_flight_.push_back({std::move(ticket), std::move(pictures), std::move(read)});
}

}  // namespace easel
