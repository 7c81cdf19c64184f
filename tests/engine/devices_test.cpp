// Several devices, each with its own threads.
#include <gmock/gmock.h>

#include <atomic>
#include <future>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "harness.h"
#include "support/message_of.h"

namespace easel::testing {
namespace {

EngineOptions two_devices() {
  return {.devices = {"gpu 0", "gpu 1"}};
}

void wait_for(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + kTestTimeout;
  while (!condition() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  ASSERT_TRUE(condition());
}

/// The pinned models that are in memory.
std::unique_ptr<Engine> serve_pinned(const std::vector<std::string>& ids, FakeOptions options,
                                     EngineOptions engine_options, const std::shared_ptr<FakeRecord>& record) {
  std::vector<ServedModel> models;
  for (const auto& id : ids) {
    options.description = fake_description(id);
    models.push_back(served_fake(options, record));
    models.back().pinned = true;
  }
  auto engine = make_engine(std::move(models), std::move(engine_options));
  for (const auto& id : ids) wait_for([&] { return engine->model_state(id) == ModelState::kReady; });
  return engine;
}

// Each step waits for a step on the other device, so the test would hang if the devices did not run at the same time.
TEST(Devices, RunConcurrently) {
  std::atomic<int> inside[2] = {0, 0};
  const auto record = std::make_shared<FakeRecord>();
  const auto meet = [&](const FakeCall& call) {
    if (call.kind != FakeCallKind::kStep) return;
    const int own = call.device == "gpu 0" ? 0 : 1;
    ++inside[own];
    wait_for([&] { return inside[1 - own] > 0; });
  };
  const auto engine = serve_pinned({"one", "two"}, {.on_call = meet}, two_devices(), record);
  const auto a = engine->submit(fake_request_of("one", 100)), b = engine->submit(fake_request_of("two", 200));
  EXPECT_FALSE(result_of(*a).error);
  EXPECT_FALSE(result_of(*b).error);
  EXPECT_NE(a->stats().device, b->stats().device);
  EXPECT_TRUE(record->violations().empty());
}

TEST(Devices, StatusReportsEachDevice) {
  EngineFixture fixture({}, two_devices());
  wait_for([&] { return fixture.engine->model_state("fake") == ModelState::kReady; });
  auto status = fixture.engine->status("fake");
  ASSERT_EQ(status.devices.size(), 2u);
  EXPECT_EQ(status.devices[0].device, "gpu 0");
  EXPECT_EQ(status.devices[0].state, ModelState::kReady);
  EXPECT_EQ(status.devices[1].device, "gpu 1");
  EXPECT_EQ(status.devices[1].state, ModelState::kUnloaded);
  EXPECT_EQ(status.memory_bytes, 64);
  fixture.engine->unload("fake");
  wait_for([&] { return fixture.engine->model_state("fake") == ModelState::kUnloaded; });
  EXPECT_EQ(fixture.engine->status("fake").memory_bytes, 0);
}

TEST(Devices, PinnedModelsAreSpreadOut) {
  const auto record = std::make_shared<FakeRecord>();
  auto options = two_devices();
  options.memory_budget = 2 * 64;
  const std::vector<std::string> ids{"one", "two", "three", "four"};
  const auto engine = serve_pinned(ids, {}, options, record);
  for (const auto& id : ids) {
    EXPECT_TRUE(engine->status(id).pinned);
    EXPECT_EQ(engine->status(id).memory_bytes, 64) << "on one device only";
  }
}

TEST(Devices, AModelMayBeResidentOnBoth) {
  auto options = FakeOptions{.step_time = std::chrono::milliseconds(5)};
  EngineFixture fixture(options, two_devices());
  std::vector<std::shared_ptr<Job>> jobs;
  for (int i = 0; i < 12; ++i) jobs.push_back(fixture.engine->submit(fake_request(100 * i, 10)));
  for (const auto& job : jobs) EXPECT_FALSE(result_of(*job).error);
  const auto status = fixture.engine->status("fake");
  EXPECT_EQ(status.memory_bytes, 2 * 64);
  EXPECT_EQ(status.state, ModelState::kReady);
}

TEST(Devices, BrokenDeviceFailsOnlyItsOwnRequests) {
  FakeOptions options;
  options.broken_device = "gpu 1";
  EngineFixture fixture(options, two_devices());
  std::vector<std::shared_ptr<Job>> jobs;
  for (int i = 0; i < 40; ++i) jobs.push_back(fixture.engine->submit(fake_request(100 * i, 4)));
  int failed = 0;
  for (const auto& job : jobs) {
    const auto result = result_of(*job);
    failed += result.error.has_value();
    if (result.error) {
      EXPECT_EQ(job->stats().device, "gpu 1");
    }
  }
  EXPECT_LE(failed, 3);
  EXPECT_FALSE(result_of(*fixture.engine->submit(fake_request(5000))).error);
}

TEST(Devices, CancelAndDrainReachAllDevices) {
  const auto record = std::make_shared<FakeRecord>();
  const auto engine = serve_pinned({"one", "two"}, {.step_time = std::chrono::hours(1)}, two_devices(), record);
  std::vector<std::shared_ptr<Job>> jobs;
  for (int i = 0; i < 6; ++i) jobs.push_back(engine->submit(fake_request_of(i % 2 ? "one" : "two", 100 * i)));
  wait_for([&] { return record->calls(FakeCallKind::kStep).size() >= 2; });
  for (const auto& job : jobs) job->cancel();
  engine->drain();
  EXPECT_EQ(record->live_generations(), 0);
  EXPECT_TRUE(record->violations().empty());
}

TEST(Devices, EachLoopPreparesItsThreadBeforeItsFirstWork) {
  std::mutex mutex;
  std::set<std::thread::id> prepared;
  const auto record = std::make_shared<FakeRecord>();
  EngineOptions options{.devices = {"a", "b"}};
  options.prepare_thread = [&] {
    const std::lock_guard lock(mutex);
    prepared.insert(std::this_thread::get_id());
  };
  auto engine = make_engine({served_fake({}, record)}, options);
  EXPECT_EQ(prepared.size(), 2u);
  EXPECT_FALSE(prepared.contains(std::this_thread::get_id()));
}

TEST(Devices, EngineThatCannotPrepareItsThreadsIsNotMade) {
  EngineOptions options{.devices = {"a", "b"}};
  options.prepare_thread = [] { throw Error(ErrorCode::kUnavailable, "no threads"); };
  EXPECT_EQ(message_of([&] { make_engine({served_fake({}, std::make_shared<FakeRecord>())}, options); }), "no threads");
}

TEST(Devices, LoopThatDoesNotTurnIsStalled) {
  std::promise<void> release;
  const auto released = release.get_future().share();
  FakeOptions model;
  model.on_call = [released](const FakeCall& call) {
    if (call.kind == FakeCallKind::kStep && call.steps.front() == 0) released.wait();
  };
  auto engine = make_engine({served_fake(std::move(model), std::make_shared<FakeRecord>())},
                            {.stall_after = std::chrono::milliseconds(50)});
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_TRUE(engine->stalled_loops().empty()) << "it has no work";
  const auto job = engine->submit(fake_request(1));
  wait_for([&] { return !engine->stalled_loops().empty(); });
  const auto stalled = engine->stalled_loops();
  ASSERT_EQ(stalled.size(), 1u);
  EXPECT_EQ(stalled[0].device, "cpu");
  EXPECT_EQ(stalled[0].work, "step of model fake");
  EXPECT_GT(stalled[0].seconds, 0.05);
  release.set_value();
  EXPECT_FALSE(result_of(*job).error);
  wait_for([&] { return engine->stalled_loops().empty(); });
}

}  // namespace
}  // namespace easel::testing
