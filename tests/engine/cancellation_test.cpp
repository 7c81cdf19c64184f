// What was given up is gone, at once, and nobody else notices.
#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "harness.h"

namespace easel::testing {
namespace {

constexpr std::uint64_t kVictim = 1, kOther = 500;

// Cancels `victim` when the engine's thread is about to take that step of it.
struct CancelAt {
  std::int64_t step;
  std::shared_ptr<Job> victim = nullptr;
  void operator()(const FakeCall& call) const {
    for (std::size_t i = 0; i < call.seeds.size(); ++i) {
      if (call.kind == FakeCallKind::kStep && call.seeds[i] == kVictim && call.steps[i] == step) victim->cancel();
    }
  }
};

TEST(Cancellation, WithinOneStepAndWithoutItsCompanions) {
  for (const auto tickets : {FakeTickets::kDoneAtOnce, FakeTickets::kDoneWhenWaited}) {
    for (const int most_at_once : {1, 4}) {
      const auto door = std::make_shared<Door>();
      const auto cancel = std::make_shared<CancelAt>(CancelAt{.step = 3});
      Studio studio(behind(door, {.max_generations_per_step = most_at_once,
                                  .tickets = tickets,
                                  .on_call = [cancel](const FakeCall& call) { (*cancel)(call); }}));
      cancel->victim = studio.engine->submit(ask(kVictim, /*steps=*/50));
      const auto request = ask(kOther, 20, 2);
      const auto other = studio.engine->submit(request);
      door->open();
      EXPECT_EQ(answer_of(*cancel->victim).code(), ErrorCode::kCancelled);
      expect_pictures(request, answer_of(*other));
      EXPECT_EQ(steps_of(*studio.record, kVictim), 4) << "steps 0 to 3, and none after";
      EXPECT_EQ(steps_of(*studio.record, kOther), 20) << "no step was lost or repeated";
    }
  }
}

TEST(Cancellation, FreesTheMemoryBeforeTheNextStep) {
  const auto door = std::make_shared<Door>();
  const auto cancel = std::make_shared<CancelAt>(CancelAt{.step = 2});
  std::vector<int> live_after;
  std::shared_ptr<FakeRecord> record;
  Studio studio(behind(door, {.on_call = [&, cancel](const FakeCall& call) {
                         if (call.kind == FakeCallKind::kStep && call.seeds.front() == kOther &&
                             cancel->victim->wait_for(std::chrono::milliseconds(0))) {
                           live_after.push_back(record->live_generations());
                         }
                         (*cancel)(call);
                       }}));
  record = studio.record;
  cancel->victim = studio.engine->submit(ask(kVictim, 50, /*num_images=*/1));
  const auto other = studio.engine->submit(ask(kOther, 20));
  door->open();
  EXPECT_FALSE(answer_of(*other).error);
  ASSERT_FALSE(live_after.empty());
  EXPECT_THAT(live_after, ::testing::Each(1));
}

// In the middle of a call that would take an hour.
TEST(Cancellation, ReachesIntoALongCall) {
  const std::chrono::hours hour(1);
  const std::pair<FakeCallKind, FakeOptions> cases[] = {
      {FakeCallKind::kBegin, {.begin_time = hour}},
      {FakeCallKind::kStep, {.step_time = hour}},
      {FakeCallKind::kFinish, {.finish_time = hour}},
  };
  for (const auto& [kind, options] : cases) {
    Studio studio(options);
    const auto job = studio.engine->submit(ask(kVictim));
    while (studio.record->calls(kind).empty()) std::this_thread::yield();
    EXPECT_FALSE(job->wait_for(std::chrono::milliseconds(5)));
    job->cancel();
    EXPECT_EQ(answer_of(*job).code(), ErrorCode::kCancelled);
    studio.engine->drain();  // returns: the call has given up
    EXPECT_EQ(studio.record->live_generations(), 0);
  }
}

TEST(Cancellation, ACallGoesOnWhileSomebodyWaitsForIt) {
  const auto door = std::make_shared<Door>();
  std::shared_ptr<Job> victim;
  std::atomic<bool> cancelled = false;
  Studio studio(behind(
      door,
      {.max_generations_per_step = 2, .step_time = std::chrono::milliseconds(5), .on_call = [&](const FakeCall& call) {
         if (call.seeds.size() == 2 && !cancelled.exchange(true)) victim->cancel();
       }}));
  victim = studio.engine->submit(ask(kVictim, 3));
  const auto other = studio.engine->submit(ask(kOther, 3));
  door->open();
  EXPECT_FALSE(answer_of(*other).error);
  EXPECT_TRUE(cancelled);
  EXPECT_EQ(answer_of(*victim).code(), ErrorCode::kCancelled);
  EXPECT_EQ(steps_of(*studio.record, kOther), 3);
}

TEST(Cancellation, FreesAPlaceInTheQueueAtOnce) {
  const auto door = std::make_shared<Door>();
  Studio studio(behind(door), {.max_waiting = 2});
  const auto kept = studio.engine->submit(ask(kOther));
  for (int i = 0; i < 100; ++i) {
    const auto job = studio.engine->submit(ask(kVictim));
    job->cancel();
    EXPECT_EQ(answer_of(*job).code(), ErrorCode::kCancelled);
  }
  door->open();
  EXPECT_FALSE(answer_of(*kept).error);
  EXPECT_EQ(studio.record->calls(FakeCallKind::kBegin).size(), 1u) << "a cancelled request was begun";
}

TEST(Cancellation, OfAnAnsweredJobChangesNothing) {
  Studio studio;
  const auto request = ask(kVictim);
  const auto job = studio.engine->submit(request);
  ASSERT_TRUE(job->wait_for(kPatience));
  job->cancel();
  job->cancel();
  expect_pictures(request, answer_of(*job));
}

TEST(Cancellation, OfAJobThatOutlivedItsEngine) {
  std::shared_ptr<Job> job;
  {
    Studio studio;
    job = studio.engine->submit(ask(kVictim));
  }
  job->cancel();
  EXPECT_TRUE(job->wait_for(std::chrono::milliseconds(0)));
}

}  // namespace
}  // namespace easel::testing
