// A cancelled request is gone at once, and other requests are not affected.
#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "harness.h"

namespace easel::testing {
namespace {

constexpr std::uint64_t kVictim = 1, kOther = 500;

// Cancels `victim` when the engine's thread is about to run that step of it.
struct CancelAt {
  std::int64_t step;
  std::shared_ptr<Job> victim = nullptr;
  void operator()(const FakeCall& call) const {
    for (std::size_t i = 0; i < call.seeds.size(); ++i) {
      if (call.kind == FakeCallKind::kStep && call.seeds[i] == kVictim && call.steps[i] == step) victim->cancel();
    }
  }
};

TEST(Cancellation, TakesEffectWithinOneStepAndSparesBatchMates) {
  for (const auto tickets : {FakeTickets::kSynchronous, FakeTickets::kDoneWhenWaited}) {
    for (const int max_batch : {1, 4}) {
      const auto gate = std::make_shared<Gate>();
      const auto cancel = std::make_shared<CancelAt>(CancelAt{.step = 3});
      EngineFixture fixture(gated(gate, {.max_generations_per_step = max_batch,
                                         .tickets = tickets,
                                         .on_call = [cancel](const FakeCall& call) { (*cancel)(call); }}));
      cancel->victim = fixture.engine->submit(fake_request(kVictim, /*steps=*/50));
      const auto request = fake_request(kOther, 20, 2);
      const auto other = fixture.engine->submit(request);
      gate->open();
      EXPECT_EQ(result_of(*cancel->victim).code(), ErrorCode::kCancelled);
      expect_images(request, result_of(*other));
      EXPECT_EQ(steps_of(*fixture.record, kVictim), 4) << "steps 0 to 3, and none after";
      EXPECT_EQ(steps_of(*fixture.record, kOther), 20) << "no step was lost or repeated";
    }
  }
}

TEST(Cancellation, FreesTheMemoryBeforeTheNextStep) {
  const auto gate = std::make_shared<Gate>();
  const auto cancel = std::make_shared<CancelAt>(CancelAt{.step = 2});
  std::vector<int> live_after;
  std::shared_ptr<FakeRecord> record;
  EngineFixture fixture(gated(gate, {.on_call = [&, cancel](const FakeCall& call) {
                                if (call.kind == FakeCallKind::kStep && call.seeds.front() == kOther &&
                                    cancel->victim->wait_for(std::chrono::milliseconds(0))) {
                                  live_after.push_back(record->live_generations());
                                }
                                (*cancel)(call);
                              }}));
  record = fixture.record;
  cancel->victim = fixture.engine->submit(fake_request(kVictim, 50, /*num_images=*/1));
  const auto other = fixture.engine->submit(fake_request(kOther, 20));
  gate->open();
  EXPECT_FALSE(result_of(*other).error);
  ASSERT_FALSE(live_after.empty());
  EXPECT_THAT(live_after, ::testing::Each(1));
}

// Cancels in the middle of a call that would take an hour.
TEST(Cancellation, InterruptsALongCall) {
  const std::chrono::hours hour(1);
  const std::pair<FakeCallKind, FakeOptions> cases[] = {
      {FakeCallKind::kBegin, {.begin_time = hour}},
      {FakeCallKind::kStep, {.step_time = hour}},
      {FakeCallKind::kFinish, {.finish_time = hour}},
  };
  for (const auto& [kind, options] : cases) {
    EngineFixture fixture(options);
    const auto job = fixture.engine->submit(fake_request(kVictim));
    while (fixture.record->calls(kind).empty()) std::this_thread::yield();
    EXPECT_FALSE(job->wait_for(std::chrono::milliseconds(5)));
    job->cancel();
    EXPECT_EQ(result_of(*job).code(), ErrorCode::kCancelled);
    fixture.engine->drain();  // returns, because the call has stopped
    EXPECT_EQ(fixture.record->live_generations(), 0);
  }
}

TEST(Cancellation, SharedCallContinuesForOtherRequests) {
  const auto gate = std::make_shared<Gate>();
  std::shared_ptr<Job> victim;
  std::atomic<bool> cancelled = false;
  EngineFixture fixture(gated(
      gate,
      {.max_generations_per_step = 2, .step_time = std::chrono::milliseconds(5), .on_call = [&](const FakeCall& call) {
         if (call.seeds.size() == 2 && !cancelled.exchange(true)) victim->cancel();
       }}));
  victim = fixture.engine->submit(fake_request(kVictim, 3));
  const auto other = fixture.engine->submit(fake_request(kOther, 3));
  gate->open();
  EXPECT_FALSE(result_of(*other).error);
  EXPECT_TRUE(cancelled);
  EXPECT_EQ(result_of(*victim).code(), ErrorCode::kCancelled);
  EXPECT_EQ(steps_of(*fixture.record, kOther), 3);
}

TEST(Cancellation, FreesQueueCapacityAtOnce) {
  const auto gate = std::make_shared<Gate>();
  EngineFixture fixture(gated(gate), {.max_waiting = 2});
  const auto kept = fixture.engine->submit(fake_request(kOther));
  for (int i = 0; i < 100; ++i) {
    const auto job = fixture.engine->submit(fake_request(kVictim));
    job->cancel();
    EXPECT_EQ(result_of(*job).code(), ErrorCode::kCancelled);
  }
  gate->open();
  EXPECT_FALSE(result_of(*kept).error);
  EXPECT_EQ(fixture.record->calls(FakeCallKind::kBegin).size(), 1u) << "a cancelled request was begun";
}

TEST(Cancellation, OfAFinishedJobChangesNothing) {
  EngineFixture fixture;
  const auto request = fake_request(kVictim);
  const auto job = fixture.engine->submit(request);
  ASSERT_TRUE(job->wait_for(kTestTimeout));
  job->cancel();
  job->cancel();
  expect_images(request, result_of(*job));
}

TEST(Cancellation, OfAJobThatOutlivesItsEngineIsSafe) {
  std::shared_ptr<Job> job;
  {
    EngineFixture fixture;
    job = fixture.engine->submit(fake_request(kVictim));
  }
  job->cancel();
  EXPECT_TRUE(job->wait_for(std::chrono::milliseconds(0)));
}

}  // namespace
}  // namespace easel::testing
