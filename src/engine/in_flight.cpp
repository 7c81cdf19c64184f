#include "engine/in_flight.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

namespace easel {

InFlight::InFlight(CostModel& costs, Policy& policy, Residency& residency, Availability& availability, int max,
                   Clock now, std::shared_ptr<EngineObserver> observer)
    : costs_(costs),
      policy_(policy),
      residency_(residency),
      availability_(availability),
      max_(static_cast<std::size_t>(max)),
      now_(std::move(now)),
      observer_(std::move(observer)) {}

bool InFlight::holds(const ActiveImage& image) const {
  return std::any_of(works_.begin(), works_.end(), [&](const auto& work) { return work->holds(image); });
}

void InFlight::enqueue(std::unique_ptr<Work> work) {
  charge(work->info(), work->info().estimate);
  works_.push_back(std::move(work));
}

void InFlight::charge_aborted(const WorkInfo& info) {
  const auto seconds = seconds_between(info.enqueued_at, now_());
  charge(info, seconds);
  record_done(info, seconds);
}

void InFlight::settle() {
  while (!works_.empty() && (works_.size() >= max_ || oldest_is_done())) settle_oldest();
}

bool InFlight::oldest_is_done() {
  try {
    return works_.front()->ticket().done();
  } catch (...) {
    return true;  // wait() will throw the error
  }
}

void InFlight::settle_oldest() {
  const auto work = std::move(works_.front());
  works_.pop_front();
  const auto& info = work->info();
  std::optional<Failure> failure;
  try {
    work->ticket().wait();
  } catch (...) {
    failure = current_failure();
    for (const auto& part : info.parts) availability_.record_failure(*part.request->job, *failure);
  }
  // A device does one thing after the other, so this is the time that it spent on this work.
  const auto now = now_();
  const auto seconds = seconds_between(std::max(info.enqueued_at, settled_at_), now);
  settled_at_ = now;
  charge(info, seconds - info.estimate);
  record_done(info, seconds);
  if (!failure) {
    record_cost(*work, seconds);
    try {
      work->settle();
    } catch (...) {
      failure = current_failure();
      if (failure->code == ErrorCode::kDeviceLost) {
        availability_.record_failure(*info.parts.front().request->job, *failure);
      }
    }
  }
  if (!failure) return;
  for (const auto& part : info.parts) part.request->fail(*failure);
}

void InFlight::record_cost(const Work& work, double seconds) {
  const auto& info = work.info();
  const auto rows = std::max(info.rows(), 1);
  for (const auto& part : info.parts) {
    const auto portion = seconds * part.rows / rows;
    part.request->device_seconds += portion;
    part.request->job->add_device_time(portion, work.step_rows());
  }
  availability_.record_success();
  residency_.used(info.shape.model);
  work.record_cost(seconds, costs_, residency_.labels(info.shape.model), observer_.get());
}

void InFlight::record_done(const WorkInfo& info, double seconds) {
  DoneWork done{.seconds = seconds, .accounts = {}};
  for (const auto& part : info.parts) done.accounts.insert(part.request->job->options().account);
  done_.push_back(std::move(done));
}

void InFlight::charge(const WorkInfo& info, double seconds) {
  std::vector<DeviceTime> portions;
  const auto rows = std::max(info.rows(), 1);
  for (const auto& part : info.parts) {
    portions.push_back({part.request->job->number(), seconds * part.rows / rows});
  }
  policy_.spent(portions);
}

}  // namespace easel
