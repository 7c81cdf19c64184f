// Several devices on a fake clock: where requests are assigned, and what happens when a device or a load fails.
#include <gmock/gmock.h>

#include <map>

#include "engine/device/circuit_breaker.h"
#include "simulation.h"

namespace easel::testing {
namespace {

constexpr std::uint64_t kSeedStride = 100;

FakeOptions model(const std::string& id, double load_seconds = 0) {
  auto options = fake_gpu();
  options.description = fake_description(id);
  options.max_generations_per_step = 1;
  options.load_time = micros(load_seconds);
  return options;
}

EngineOptions two_devices() {
  return {.devices = {"gpu 0", "gpu 1"}, .max_waiting = 100};
}

GenerationRequest fake_request_of(const std::string& id, int number, std::int64_t steps) {
  auto request = image_request(kSeedStride * static_cast<std::uint64_t>(number), steps);
  request.model = id;
  return request;
}

/// The models that each device loaded, in order.
std::map<std::string, std::vector<std::string>> loads(const Simulation& simulation) {
  std::map<std::string, std::vector<std::string>> found;
  for (const auto& call : simulation.record->calls(FakeCallKind::kLoad)) found[call.device].push_back(call.model);
  return found;
}

ErrorCode code_of(Job& job) {
  try {
    job.take();
  } catch (const Error& error) {
    return error.code();
  }
  return static_cast<ErrorCode>(-1);
}

TEST(DeviceAssignment, TwoDevicesHaveTwiceTheThroughput) {
  std::map<std::size_t, double> makespan;
  for (const std::size_t count : {1, 2}) {
    auto options = two_devices();
    options.devices.resize(count);
    options.max_steps_in_flight = 6;  // while the clock waits for one device, the other has work
    Simulation simulation({model("fake")}, options);
    std::vector<std::shared_ptr<QueuedJob>> jobs;
    for (int i = 0; i < 16; ++i) jobs.push_back(simulation.submit(fake_request_of("fake", i, 20)));
    simulation.run();
    makespan[count] = simulation.seconds();
    std::map<std::string, int> drawn;
    for (const auto& job : jobs) ++drawn[job->stats().device];
    EXPECT_EQ(drawn.size(), count);
    for (const auto& [device, count_there] : drawn)
      EXPECT_NEAR(count_there, 16.0 / static_cast<double>(count), 1) << device;
  }
  EXPECT_LE(makespan[2], 0.6 * makespan[1]) << "not quite half, because this clock waits for one device at a time";
}

TEST(DeviceAssignment, RequestsGoToTheDeviceThatHasTheirModel) {
  Simulation simulation({model("one", 40), model("two", 40)}, two_devices());
  std::vector<std::shared_ptr<QueuedJob>> ones, twos;
  for (int i = 0; i < 8; ++i) {
    simulation.at(100 + 30 * i, [&, i] { ones.push_back(simulation.submit(fake_request_of("one", i, 4))); });
    simulation.at(101 + 30 * i, [&, i] { twos.push_back(simulation.submit(fake_request_of("two", 20 + i, 4))); });
  }
  simulation.run();
  EXPECT_THAT(loads(simulation)["gpu 0"], ::testing::ElementsAre("one"));
  EXPECT_THAT(loads(simulation)["gpu 1"], ::testing::ElementsAre("two"));
  for (const auto& job : ones) EXPECT_EQ(job->stats().device, "gpu 0");
  for (const auto& job : twos) EXPECT_EQ(job->stats().device, "gpu 1");
}

TEST(DeviceAssignment, SecondCopyLoadsWhenThatFinishesSooner) {
  Simulation simulation({model("one", 40)}, two_devices());
  simulation.at(50, [&] { simulation.submit(fake_request_of("one", 0, 4)); });  // so that costs are known
  std::vector<std::shared_ptr<QueuedJob>> jobs;
  simulation.at(100, [&] {
    for (int i = 1; i <= 10; ++i) jobs.push_back(simulation.submit(fake_request_of("one", i, 50)));
  });
  simulation.run();
  EXPECT_THAT(loads(simulation)["gpu 1"], ::testing::ElementsAre("one")) << "once";
  std::map<std::string, int> drawn;
  for (const auto& job : jobs) ++drawn[job->stats().device];
  EXPECT_GE(drawn["gpu 1"], 4);
  EXPECT_GE(drawn["gpu 0"], 4);
}

TEST(DeviceAssignment, FailedLoadMovesRequestsToTheOtherDevice) {
  auto options = model("one", 5);
  options.faults = {{.where = FakeCallKind::kLoad, .code = ErrorCode::kResourceExhausted, .device = "gpu 0"}};
  Simulation simulation({options}, two_devices());
  std::vector<std::shared_ptr<QueuedJob>> jobs;
  for (int i = 0; i < 3; ++i) jobs.push_back(simulation.submit(fake_request_of("one", i, 4)));
  simulation.run();
  for (const auto& job : jobs) {
    EXPECT_EQ(code_of(*job), static_cast<ErrorCode>(-1));
    EXPECT_EQ(job->stats().device, "gpu 1");
  }
}

TEST(DeviceAssignment, RequestFailsWhenNoDeviceCanLoadItsModel) {
  auto options = model("one", 5);
  options.faults = {{.where = FakeCallKind::kLoad, .code = ErrorCode::kCorruptData}};
  auto engine = two_devices();
  engine.load_retry = std::chrono::milliseconds(0);  // a load could be repeated without end
  Simulation simulation({options}, engine);
  const auto job = simulation.submit(fake_request_of("one", 1, 4));
  simulation.run();
  EXPECT_EQ(code_of(*job), ErrorCode::kCorruptData);
  EXPECT_LE(simulation.record->calls(FakeCallKind::kLoad).size(), 3u);
}

TEST(DeviceAssignment, MemoryBudgetIsPerDevice) {
  auto engine = two_devices();
  engine.memory_budget = 64;  // one model
  Simulation simulation({model("one", 5), model("two", 5)}, engine);
  for (int i = 0; i < 6; ++i) simulation.submit(fake_request_of(i % 2 ? "one" : "two", i, 20));
  simulation.run();
  EXPECT_EQ(simulation.residency(0).status(0).memory_bytes + simulation.residency(0).status(1).memory_bytes, 64);
  EXPECT_EQ(simulation.residency(1).status(0).memory_bytes + simulation.residency(1).status(1).memory_bytes, 64);
  EXPECT_LE(simulation.record->calls(FakeCallKind::kLoad).size(), 3u)
      << "one for each device, and one more when a device has nothing to do";
}

// Each model waits for the others' loads for longer than its maximum wait, and still each model gets its turn.
TEST(DeviceAssignment, FiveModelsTakeTurnsInMemoryForOne) {
  auto engine = two_devices();
  engine.devices.resize(1);
  engine.memory_budget = 64;  // one model
  std::vector<FakeOptions> models;
  for (const auto* id : {"one", "two", "three", "four", "five"}) models.push_back(model(id, 10));
  Simulation simulation(models, engine);
  std::vector<std::shared_ptr<QueuedJob>> jobs;
  for (int i = 0; i < 30; ++i) {
    jobs.push_back(simulation.submit(fake_request_of(models[static_cast<std::size_t>(i) % 5].description.id, i, 4)));
  }
  simulation.run();
  for (const auto& job : jobs) EXPECT_EQ(code_of(*job), static_cast<ErrorCode>(-1));
  EXPECT_LE(simulation.record->calls(FakeCallKind::kLoad).size(), 15u) << "too many loads for the work";
}

// A broken device looks idle and would attract all requests. It fails a few; then the others get them.
TEST(DeviceAssignment, BrokenDeviceFailsAFewRequestsThenIsAvoided) {
  auto options = model("one");
  options.broken_device = "gpu 0";
  Simulation simulation({options}, two_devices());
  std::vector<std::shared_ptr<QueuedJob>> jobs;
  for (int i = 0; i < 60; ++i) {
    simulation.at(12 * i, [&, i] { jobs.push_back(simulation.submit(fake_request_of("one", i, 4))); });
  }
  simulation.run();
  int failed = 0;
  for (const auto& job : jobs) failed += code_of(*job) == ErrorCode::kInternal;
  EXPECT_GE(failed, 3);
  EXPECT_LE(failed, 9) << "three at first, then one after 30, 60, 120 and 240 s";
}

TEST(DeviceAssignment, AllRequestsFailWhenAllDevicesAreBroken) {
  auto options = model("one");
  options.broken_device = "gpu 0";
  auto engine = two_devices();
  engine.devices.resize(1);
  Simulation simulation({options}, engine);
  std::vector<std::shared_ptr<QueuedJob>> jobs;
  for (int i = 0; i < 10; ++i) jobs.push_back(simulation.submit(fake_request_of("one", i, 4)));
  simulation.run();
  for (const auto& job : jobs) EXPECT_EQ(code_of(*job), ErrorCode::kInternal);
}

TEST(CircuitBreaker, OpensAfterThreeFailedRequestsInARow) {
  using std::chrono::seconds;
  CircuitBreaker breaker;
  const TimePoint start{};
  const auto fail = [&](std::uint64_t request, int at, ErrorCode code = ErrorCode::kInternal) {
    breaker.failed(request, code, start + seconds(at));
    return breaker.tripped(start + seconds(at));
  };
  EXPECT_FALSE(fail(1, 0));
  EXPECT_FALSE(fail(1, 0)) << "the same request";
  EXPECT_FALSE(fail(2, 1));
  EXPECT_FALSE(fail(3, 1, ErrorCode::kResourceExhausted)) << "out of memory does not count";
  EXPECT_TRUE(fail(4, 2));
  EXPECT_EQ(breaker.tripped_until(start + seconds(2)), start + seconds(32));
  EXPECT_FALSE(breaker.tripped(start + seconds(32)));
  EXPECT_TRUE(fail(5, 40)) << "one failure opens it again";
  EXPECT_EQ(breaker.tripped_until(start + seconds(40)), start + seconds(100)) << "twice as long";
  breaker.succeeded();
  EXPECT_FALSE(breaker.tripped(start + seconds(41)));
  EXPECT_FALSE(fail(6, 42));
}

}  // namespace
}  // namespace easel::testing
