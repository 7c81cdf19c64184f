// The engine's own loop, queue, residency and policy on one thread and a fake clock: an hour takes a millisecond, and
// every run is the same.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/device/device_estimates.h"
#include "engine/loop.h"
#include "engine/residency/residency.h"
#include "engine/waiting/policy.h"
#include "engine/waiting/queue.h"
#include "support/fake_clock.h"
#include "support/fake_pipeline.h"

namespace easel::testing {

inline std::chrono::microseconds micros(double seconds) {
  return std::chrono::microseconds(std::llround(seconds * 1e6));
}

/// Seconds that a step of so many images takes, where a step of one image takes one second.
using CostCurve = std::function<double(int)>;
/// A CPU: a batch of k images costs k.
inline double cpu_cost(int images) {
  return images;
}
/// A100, Stable Diffusion 1.5: a batch of four costs 2.9 single steps.
inline double gpu_cost(int images) {
  return 1 + (2.9 - 1) / 3 * (images - 1);
}

constexpr double kBeginSeconds = 0.3, kDecodeSeconds = 2.5;

inline FakeOptions fake_device(const CostCurve& curve, int max_batch, FakeTickets tickets) {
  return {.max_generations_per_step = max_batch,
          .tickets = tickets,
          .begin_time = micros(kBeginSeconds),
          .finish_time = micros(kDecodeSeconds),
          .step_curve = [curve](int images) { return micros(curve(images)); }};
}
inline FakeOptions fake_cpu() {
  return fake_device(cpu_cost, 1, FakeTickets::kSynchronous);
}
inline FakeOptions fake_gpu() {
  return fake_device(gpu_cost, 4, FakeTickets::kTimed);
}

class Simulation {
 public:
  /// One loop for each device of `options`; all take turns on this thread. @param policy  of the first device
  explicit Simulation(std::vector<FakeOptions> models, EngineOptions options = {},
                      std::unique_ptr<Policy> policy = nullptr)
      : clock(std::make_shared<FakeClock>()), options_(std::move(options)), models_(served(std::move(models))) {
    std::vector<ModelDescription> descriptions;
    for (const auto& model : models_) descriptions.push_back(model.description);
    board = std::make_shared<DeviceBoard>(descriptions, options_.devices.size());
    queue = std::make_shared<Queue>(
        Queue::Limits{.max_pending = options_.max_waiting, .max_seconds = options_.max_waiting_seconds}, board, now(),
        options_.observer);
    for (std::size_t i = 0; i < options_.devices.size(); ++i) {
      devices_.push_back(std::make_unique<Device>(*this, i, i == 0 ? std::move(policy) : nullptr));
    }
  }

  ~Simulation() {
    for (const auto& sentence : record->violations()) ADD_FAILURE() << sentence;
    EXPECT_EQ(record->live_generations(), 0);
  }

  double seconds() const { return seconds_between(start_, clock->now()); }
  void at(double seconds, std::function<void()> event) { clock->at(start_ + micros(seconds), std::move(event)); }
  std::shared_ptr<QueuedJob> submit(GenerationRequest request, SubmitOptions options = {}) {
    return queue->submit(std::move(request), std::move(options));
  }
  Residency& residency(std::size_t device = 0) { return devices_[device]->residency; }
  const Activity& activity(std::size_t device = 0) const { return devices_[device]->loop.activity(); }

  /// Runs until there is no work and no event left.
  void run() {
    while (true) {
      while (turn()) {
      }
      auto next = clock->next_event();
      for (const auto& device : devices_) {
        if (const auto wakeup = device->loop.next_wakeup()) next = next ? std::min(*next, *wakeup) : *wakeup;
      }
      if (!next) return;
      clock->advance_to(*next);
    }
  }

  const std::shared_ptr<FakeClock> clock;
  const std::shared_ptr<FakeRecord> record = std::make_shared<FakeRecord>();
  std::shared_ptr<DeviceBoard> board;
  std::shared_ptr<Queue> queue;

 private:
  struct Device {
    Device(Simulation& all, std::size_t index, std::unique_ptr<Policy> own_policy)
        : residency(all.models_,
                    {.device = all.options_.devices[index],
                     .load_first_model = index == 0,
                     .memory_budget = all.options_.memory_budget,
                     .keep_alive = all.options_.keep_alive,
                     .load_retry = all.options_.load_retry},
                    {.run_on_loader = [&all](std::function<void()> task) { all.load_later(std::move(task)); },
                     .wake = [] {},
                     .now = all.now(),
                     .observer = all.options_.observer,
                     .load_times = all.load_times_}),
          policy(own_policy ? std::move(own_policy) : make_fair_sojourn(all.options_.max_step_seconds)),
          loop(*all.queue, residency, *all.board, *policy,
               {.device = index,
                .max_active_generations = all.options_.max_active_generations,
                .max_parked_generations = all.options_.max_parked_generations,
                .max_steps_in_flight = all.options_.max_steps_in_flight},
               all.now(), all.options_.observer) {}
    Residency residency;
    std::unique_ptr<Policy> policy;
    Loop loop;
  };

  // A turn may move a request to a device whose turn was before. A request that no device can run is moved by each of
  // them, so the devices are idle only after one more idle round than there are devices.
  bool turn() {
    for (std::size_t round = 0; round <= devices_.size(); ++round) {
      bool any = false;
      for (const auto& device : devices_) any = device->loop.turn() || any;
      if (any) return true;
    }
    return false;
  }
  Clock now() const {
    return [clock = clock] { return clock->now(); };
  }
  std::vector<ServedModel> served(std::vector<FakeOptions> models) {
    std::vector<ServedModel> all;
    for (auto& model : models) {
      model.clock = clock;
      load_seconds_ = std::max(load_seconds_, std::chrono::duration<double>(model.load_time).count());
      all.push_back(served_fake(std::move(model), record));
    }
    return all;
  }
  void load_later(std::function<void()> task) { clock->at(clock->now() + micros(load_seconds_), std::move(task)); }

  const EngineOptions options_;
  const FakeClock::TimePoint start_ = clock->now();
  double load_seconds_ = 0;
  const std::shared_ptr<LoadTimes> load_times_ = std::make_shared<LoadTimes>();
  const std::vector<ServedModel> models_;
  std::vector<std::unique_ptr<Device>> devices_;
};

inline GenerationRequest image_request(std::uint64_t seed, std::int64_t steps, std::int64_t images = 1) {
  GenerationRequest request;
  request.model = "fake";
  request.prompt = "a fox";
  request.seed = seed;
  request.num_inference_steps = steps;
  request.num_images = images;
  return request;
}

/// Seconds from acceptance to the end.
inline double latency(const Job& job) {
  const auto stats = job.stats();
  return stats.queued_seconds + stats.run_seconds;
}

/// The value that this part of the values does not exceed.
inline double quantile(std::vector<double> values, double part) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(std::ceil(part * static_cast<double>(values.size()))) - 1];
}

}  // namespace easel::testing
