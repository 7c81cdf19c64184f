// A device that fails every call until the process is started again: nothing is given to it any more.
#include <gmock/gmock.h>

#include "harness.h"

namespace easel::testing {
namespace {

FakeFault loses_device(FakeCallKind where, std::uint64_t seed, FakeFault::How how = FakeFault::How::kError) {
  return {.where = where, .seed = seed, .how = how, .code = ErrorCode::kDeviceLost};
}

TEST(LostDevice, EndsAllRequestsAndTakesNoFurtherCall) {
  using How = FakeFault::How;
  const std::vector<FakeFault> faults = {loses_device(FakeCallKind::kBegin, 1), loses_device(FakeCallKind::kStep, 1),
                                         loses_device(FakeCallKind::kStep, 1, How::kDeviceError),
                                         loses_device(FakeCallKind::kFinish, 1),
                                         loses_device(FakeCallKind::kFinish, 1, How::kDeviceError)};
  for (const auto& fault : faults) {
    const auto gate = std::make_shared<Gate>();
    EngineFixture fixture(gated(gate, {.tickets = FakeTickets::kDoneWhenWaited, .faults = {fault}}));
    const auto guilty = fixture.engine->submit(fake_request(1)), other = fixture.engine->submit(fake_request(2, 50));
    EXPECT_FALSE(fixture.engine->all_devices_lost());
    gate->open();
    EXPECT_EQ(result_of(*guilty).code(), ErrorCode::kDeviceLost);
    EXPECT_EQ(result_of(*other).code(), ErrorCode::kDeviceLost);
    EXPECT_TRUE(fixture.engine->all_devices_lost());
    EXPECT_EQ(fixture.engine->model_state("fake"), ModelState::kFailed) << "so /ready and /health are 503";
    const auto calls = fixture.record->calls().size();
    EXPECT_EQ(result_of(*fixture.engine->submit(fake_request(3))).code(), ErrorCode::kDeviceLost);
    fixture.engine->load("fake");
    EXPECT_EQ(result_of(*fixture.engine->submit(fake_request(4))).code(), ErrorCode::kDeviceLost);
    EXPECT_EQ(fixture.record->calls().size(), calls) << "a lost device was used again";
    fixture.engine->drain();
    EXPECT_EQ(fixture.record->live_generations(), 0);
  }
}

TEST(LostDevice, StepOfSeveralImagesLosesItAtOnce) {
  const auto gate = std::make_shared<Gate>();
  EngineFixture fixture(gated(gate, {.max_generations_per_step = 4, .faults = {loses_device(FakeCallKind::kStep, 2)}}));
  const auto one = fixture.engine->submit(fake_request(1)), two = fixture.engine->submit(fake_request(2));
  gate->open();
  EXPECT_EQ(result_of(*two).code(), ErrorCode::kDeviceLost);
  EXPECT_EQ(result_of(*one).code(), ErrorCode::kDeviceLost);
  EXPECT_TRUE(fixture.engine->all_devices_lost());
}

TEST(LostDevice, FoundByALoad) {
  auto options = FakeOptions{.faults = {loses_device(FakeCallKind::kLoad, 0)}};
  EngineFixture fixture(std::move(options));
  EXPECT_EQ(result_of(*fixture.engine->submit(fake_request(1))).code(), ErrorCode::kDeviceLost);
  EXPECT_TRUE(fixture.engine->all_devices_lost());
}

TEST(LostDevice, OthersGoOnAndTakeItsRequests) {
  const auto record = std::make_shared<FakeRecord>();
  auto fault = loses_device(FakeCallKind::kStep, 1);
  fault.device = "a";
  FakeOptions options{.step_time = std::chrono::microseconds(500), .faults = {fault}};
  auto engine = make_engine({served_fake(std::move(options), record)}, {.devices = {"a", "b"}});
  const auto guilty = engine->submit(fake_request(1, 4));  // device a has loaded the first model
  EXPECT_EQ(result_of(*guilty).code(), ErrorCode::kDeviceLost);
  EXPECT_FALSE(engine->all_devices_lost());
  const auto calls_there = [&] {
    int calls = 0;
    for (const auto& call : record->calls()) calls += call.device == "a" ? 1 : 0;
    return calls;
  };
  const auto before = calls_there();
  for (std::uint64_t seed = 10; seed < 16; ++seed) {
    const auto request = fake_request(seed);
    const auto job = engine->submit(request);
    expect_images(request, result_of(*job));
    EXPECT_EQ(job->stats().device, "b");
  }
  EXPECT_EQ(calls_there(), before);
  EXPECT_EQ(engine->model_state("fake"), ModelState::kReady) << "it is ready on the other device";
  engine.reset();
  EXPECT_TRUE(record->violations().empty());
}

}  // namespace
}  // namespace easel::testing
