// Ten thousand generated schedules on a fake clock, for one device and for several: arrivals, cancellations, faults,
// deadlines, priorities, accounts, models that are loaded and evicted within a budget, a device that breaks. Every run
// is the same; a failure names the seed of its schedule.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "simulation.h"

namespace easel::testing {
namespace {

constexpr unsigned kSchedules = 10000;
constexpr unsigned kOnSeveralDevices = 10000;
constexpr std::uint64_t kSeedsApart = 100;  // more than a request has images
constexpr std::int64_t kModelBytes = 64;    // of fake_description

class Dice {
 public:
  explicit Dice(unsigned seed) : engine_(seed) {}
  int roll(int low, int high) { return low + static_cast<int>(engine_() % static_cast<unsigned>(high - low + 1)); }
  bool chance(int percent) { return roll(1, 100) <= percent; }
  double seconds(double most) { return most * roll(0, 1000) / 1000; }

 private:
  std::mt19937 engine_;
};

/// Adds up the reported events and checks the sums.
class CheckingObserver : public EngineObserver {
 public:
  explicit CheckingObserver(std::int64_t budget) : budget_(budget) {}

  void on_ended(const std::string&, RequestOutcome outcome, double seconds, std::int64_t images) override {
    ++ended[outcome];
    EXPECT_GE(seconds, 0);
    EXPECT_EQ(images > 0, outcome == RequestOutcome::kSucceeded);
  }
  void on_rejected(const std::string&, RejectionReason) override { ++refused; }
  void on_queue(std::size_t waiting, std::size_t drawing) override { unended = waiting + drawing; }
  void on_loaded(const ModelLabels& at, double, std::int64_t bytes) override { change(at.device, bytes); }
  void on_unloaded(const ModelLabels& at, std::int64_t bytes, bool) override { change(at.device, -bytes); }
  void starts_loading(const std::string& device) {
    if (budget_ == 0) return;
    EXPECT_LE(held_[device] + kModelBytes, budget_) << "loading beyond the budget of " << device;
  }

  std::map<RequestOutcome, int> ended;
  int refused = 0;
  std::size_t unended = 0;

 private:
  void change(const std::string& device, std::int64_t bytes) {
    auto& held = held_[device];
    held += bytes;
    EXPECT_GE(held, 0);
    if (budget_ > 0) {
      EXPECT_LE(held, budget_);
    }
  }
  const std::int64_t budget_;
  std::map<std::string, std::int64_t> held_;
};

struct SubmittedRequest {
  GenerationRequest request;
  SubmitOptions options;
  std::shared_ptr<QueuedJob> job = nullptr;
  bool cancelled = false;
  std::vector<ProgressEvent> events{};
};

struct Schedule {
  EngineOptions engine;
  std::vector<FakeOptions> models;
  bool a_load_fails = false, device_errors = false, a_device_is_broken = false;
  std::map<std::uint64_t, ErrorCode> guilty{};  // first seed of a request -> how it must fail
};

FakeFault make_fault(Dice& dice, std::uint64_t seed) {
  constexpr FakeFault::How kHows[] = {FakeFault::How::kError, FakeFault::How::kStdException,
                                      FakeFault::How::kDeviceError, FakeFault::How::kNotFinite};
  constexpr FakeCallKind kWheres[] = {FakeCallKind::kBegin, FakeCallKind::kStep, FakeCallKind::kFinish};
  FakeFault fault{.where = kWheres[dice.roll(0, 2)], .seed = seed, .how = kHows[dice.roll(0, 3)]};
  if (fault.how == FakeFault::How::kNotFinite) fault.where = FakeCallKind::kStep;
  if (fault.how == FakeFault::How::kError && dice.chance(50)) fault.code = ErrorCode::kUnsupported;
  return fault;
}

/// Several devices, one of which may be unable to do anything, or to load a model.
void add_devices(Dice& dice, Schedule& schedule) {
  schedule.engine.devices = {"gpu 0", "gpu 1"};
  if (dice.chance(50)) schedule.engine.devices.push_back("gpu 2");
  const auto any = [&] { return schedule.engine.devices[static_cast<std::size_t>(dice.roll(0, 1))]; };
  const auto broken = dice.chance(10) ? any() : "";
  schedule.a_device_is_broken = !broken.empty();
  for (auto& model : schedule.models) {
    model.broken_device = broken;
    if (dice.chance(10)) {
      model.faults.push_back({.where = FakeCallKind::kLoad, .code = ErrorCode::kResourceExhausted, .device = any()});
    }
  }
}

Schedule make_schedule(Dice& dice, int requests) {
  Schedule schedule;
  const int models = dice.roll(1, 3);
  schedule.engine = {.max_waiting = static_cast<std::size_t>(dice.roll(2, 12)),
                     .max_active_generations = dice.roll(1, 6),
                     .max_parked_generations = dice.chance(50) ? dice.roll(1, 4) : 0,
                     .max_steps_in_flight = dice.roll(1, 3),
                     .max_waiting_seconds = dice.chance(20) ? dice.seconds(60) : 0,
                     .max_step_seconds = dice.chance(20) ? 2.0 : 0,
                     .memory_budget = dice.chance(50) ? kModelBytes * dice.roll(1, models) : 0,
                     .load_retry = std::chrono::milliseconds(dice.roll(0, 20000))};
  if (dice.chance(30)) schedule.engine.keep_alive = std::chrono::milliseconds(dice.roll(0, 10000));
  std::vector<FakeFault> faults;
  for (int i = 0; i < requests; ++i) {
    if (!dice.chance(15)) continue;
    const auto fault = make_fault(dice, kSeedsApart * static_cast<std::uint64_t>(i));
    faults.push_back(fault);
    schedule.guilty[fault.seed] = expected_code(fault);
    schedule.device_errors |= fault.how == FakeFault::How::kDeviceError;
  }
  const auto tickets = static_cast<FakeTickets>(dice.roll(0, 2));
  const bool batches = dice.chance(60);
  for (int i = 0; i < models; ++i) {
    FakeOptions model = fake_device(batches ? gpu_cost : cpu_cost, batches ? dice.roll(2, 4) : 1, tickets);
    model.description = fake_description(i == 0 ? "fake" : "other " + std::to_string(i));
    model.load_time = micros(dice.seconds(20));
    model.steps_per_phase = dice.roll(0, 3);
    model.step_memory = dice.chance(20) ? dice.roll(1, 3) : 100;
    model.faults = faults;
    if (dice.chance(5)) {
      model.faults.push_back({.where = FakeCallKind::kLoad, .code = ErrorCode::kCorruptData});
      schedule.a_load_fails = true;
    }
    schedule.models.push_back(std::move(model));
  }
  return schedule;
}

SubmittedRequest make_request(Dice& dice, const Schedule& schedule, int number) {
  SubmittedRequest submitted;
  submitted.request =
      image_request(kSeedsApart * static_cast<std::uint64_t>(number), dice.roll(1, 12), dice.roll(1, 3));
  submitted.request.model =
      schedule.models[static_cast<std::size_t>(dice.roll(0, static_cast<int>(schedule.models.size()) - 1))]
          .description.id;
  submitted.request.guidance_scale = dice.chance(50) ? 1.0 : 7.5;
  if (dice.chance(30)) submitted.request.width = submitted.request.height = 16;
  submitted.options.account = std::string(1, static_cast<char>('a' + dice.roll(0, 2)));
  submitted.options.share = dice.chance(80) ? 1 : 3;
  submitted.options.priority = dice.chance(80) ? 0 : dice.roll(-3, 3);
  if (dice.chance(20)) submitted.options.timeout = std::chrono::milliseconds(dice.roll(1, 40000));
  if (dice.chance(20)) submitted.options.max_pending_per_account = static_cast<std::size_t>(dice.roll(1, 3));
  submitted.options.preview_every = dice.roll(0, 3);
  return submitted;
}

void check_events(const SubmittedRequest& submitted) {
  std::map<std::int64_t, std::int64_t> steps;
  bool started = false;
  for (const auto& event : submitted.events) {
    started = started || event.kind == ProgressEvent::Kind::kStarted;
    EXPECT_EQ(started, event.kind != ProgressEvent::Kind::kQueued) << "out of order";
    EXPECT_TRUE(!event.preview || event.kind == ProgressEvent::Kind::kStep);
    if (event.kind != ProgressEvent::Kind::kStep) continue;
    EXPECT_EQ(event.progress.steps_done, ++steps[event.image]) << "a step was lost or reported twice";
    EXPECT_LE(event.progress.steps_done, *submitted.request.num_inference_steps);
  }
}

// Checks that the request ended in a way that is possible after what was done to it.
void check_result(const Schedule& schedule, SubmittedRequest& submitted) {
  ASSERT_TRUE(submitted.job->ended()) << "it did not end: seed " << submitted.request.seed;
  EXPECT_EQ(submitted.job.use_count(), 1) << "the engine still holds a job that has ended";
  check_events(submitted);
  std::optional<Error> error;
  std::vector<GeneratedImage> images;
  try {
    images = submitted.job->take();
  } catch (const Error& thrown) {
    error = thrown;
  }
  const auto code = error ? error->code() : static_cast<ErrorCode>(-1);
  if (code == ErrorCode::kCancelled && submitted.cancelled) return;
  if (code == ErrorCode::kDeadlineExceeded && submitted.options.timeout) {
    // A deadline is noticed after a block of a decode at the latest, or after a ticket in flight on an asynchronous
    // device.
    EXPECT_LE(latency(*submitted.job), std::chrono::duration<double>(*submitted.options.timeout).count() + 12);
    return;
  }
  if (code == ErrorCode::kCorruptData && schedule.a_load_fails) return;
  if (code == ErrorCode::kInternal && schedule.a_device_is_broken) return;
  const auto guilty = schedule.guilty.find(submitted.request.seed);
  if (guilty != schedule.guilty.end()) {
    ASSERT_TRUE(error) << "seed " << guilty->first << " should have failed";
    EXPECT_TRUE(code == guilty->second || schedule.device_errors) << error->what();
  } else if (error) {
    EXPECT_TRUE(schedule.device_errors && code == ErrorCode::kInternal) << error->what();
  } else {
    ASSERT_EQ(images.size(), static_cast<std::size_t>(submitted.request.num_images));
    for (std::size_t i = 0; i < images.size(); ++i) EXPECT_EQ(images[i].seed, submitted.request.seed + i);
  }
}

// The latest time at which a request can be done if no request starves: all work, with no step shared, and all loads
// that could be needed.
double worst_case_seconds(const std::vector<SubmittedRequest>& all) {
  double seconds = 0;
  for (const auto& submitted : all) {
    const auto images = static_cast<double>(submitted.request.num_images);
    seconds += images * (static_cast<double>(*submitted.request.num_inference_steps) + kDecodeSeconds + kBeginSeconds);
    seconds += 3 * 20;  // a load, and a wait of twice as long
  }
  return 2 * seconds + 100;
}

void schedule_events(Simulation& simulation, std::vector<SubmittedRequest>& all, Dice& dice) {
  double time = 0;
  for (auto& submitted : all) {
    time += dice.seconds(6);
    const bool listens = dice.chance(30);
    simulation.at(time, [&simulation, &submitted, listens] {
      auto options = submitted.options;
      if (listens) options.listener = [&submitted](const ProgressEvent& event) { submitted.events.push_back(event); };
      try {
        submitted.job = simulation.submit(submitted.request, std::move(options));
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted) << error.what();
      }
    });
    if (!dice.chance(20)) continue;
    simulation.at(time + dice.seconds(30), [&submitted] {
      if (!submitted.job) return;
      submitted.cancelled = !submitted.job->ended();
      submitted.job->cancel();
    });
  }
  if (!dice.chance(30)) return;
  const auto model =
      static_cast<std::size_t>(dice.roll(0, static_cast<int>(simulation.residency().models().size()) - 1));
  simulation.at(dice.seconds(60), [&simulation, model] { simulation.residency().request_unload(model); });
  if (dice.chance(50)) simulation.at(dice.seconds(60), [&, model] { simulation.residency().request_load(model); });
}

void run_schedule(unsigned seed, bool several_devices) {
  SCOPED_TRACE(::testing::Message() << "schedule " << seed);
  Dice dice(seed);
  const int requests = dice.roll(1, 12);
  auto schedule = make_schedule(dice, requests);
  if (several_devices) add_devices(dice, schedule);
  const auto observer = std::make_shared<CheckingObserver>(schedule.engine.memory_budget);
  schedule.engine.observer = observer;
  for (auto& model : schedule.models) {
    model.on_call = [observer](const FakeCall& call) {
      if (call.kind == FakeCallKind::kLoad) observer->starts_loading(call.device);
    };
  }
  std::vector<SubmittedRequest> all;
  for (int i = 0; i < requests; ++i) all.push_back(make_request(dice, schedule, i));

  std::size_t accepted = 0;
  {
    Simulation simulation(schedule.models, schedule.engine);
    schedule_events(simulation, all, dice);
    simulation.run();
    EXPECT_LE(simulation.seconds(), worst_case_seconds(all)) << "a request waited without need";
    EXPECT_EQ(simulation.record->live_generations(), 0);
    EXPECT_EQ(simulation.record->tickets_in_flight(), 0);
    EXPECT_LE(simulation.record->max_live_generations(),
              schedule.engine.max_active_generations + schedule.engine.max_parked_generations);
    EXPECT_LE(simulation.record->max_tickets_in_flight(), schedule.engine.max_steps_in_flight);
    EXPECT_EQ(observer->unended, 0u);
    for (auto& submitted : all) {
      if (!submitted.job) continue;
      ++accepted;
      check_result(schedule, submitted);
    }
  }
  int ended = 0;
  for (const auto& [outcome, count] : observer->ended) ended += count;
  EXPECT_EQ(static_cast<std::size_t>(ended), accepted) << "each accepted request ends once";
  EXPECT_EQ(accepted + static_cast<std::size_t>(observer->refused), all.size());
}

TEST(SimulatedSchedules, InvariantsHoldOnOneDevice) {
  for (unsigned seed = 0; seed < kSchedules && !::testing::Test::HasFailure(); ++seed) {
    run_schedule(seed, /*several_devices=*/false);
  }
}

TEST(SimulatedSchedules, InvariantsHoldOnSeveralDevices) {
  for (unsigned seed = 0; seed < kOnSeveralDevices && !::testing::Test::HasFailure(); ++seed) {
    run_schedule(seed, /*several_devices=*/true);
  }
}

// A failing schedule can be debugged only if it is the same every time.
TEST(SimulatedSchedules, AreReproducible) {
  std::vector<FakeCall> calls[2];
  for (auto& each : calls) {
    Dice dice(7);
    auto schedule = make_schedule(dice, 10);
    std::vector<SubmittedRequest> all;
    for (int i = 0; i < 10; ++i) all.push_back(make_request(dice, schedule, i));
    Simulation simulation(schedule.models, schedule.engine);
    schedule_events(simulation, all, dice);
    simulation.run();
    each = simulation.record->calls();
  }
  ASSERT_EQ(calls[0].size(), calls[1].size());
  ASSERT_FALSE(calls[0].empty());
  for (std::size_t i = 0; i < calls[0].size(); ++i) {
    EXPECT_EQ(calls[0][i].kind, calls[1][i].kind);
    EXPECT_EQ(calls[0][i].seeds, calls[1][i].seeds);
  }
}

}  // namespace
}  // namespace easel::testing
