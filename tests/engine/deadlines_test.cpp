// Time limits of requests, of a drain, and what is refused for want of room.
#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "harness.h"

namespace easel::testing {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

SubmitOptions within(milliseconds timeout) {
  SubmitOptions options;
  options.timeout = timeout;
  return options;
}

template <class F>
Error error_of(F&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was thrown";
  return Error(ErrorCode::kInternal, "");
}

// In the middle of a call that would take an hour, and before it.
TEST(Deadlines, AreKeptAtEveryStage) {
  const std::chrono::hours hour(1);
  const FakeOptions stages[] = {{.begin_time = hour}, {.step_time = hour}, {.finish_time = hour}};
  for (const auto& options : stages) {
    Studio studio(options, {.max_active_generations = 1});
    const auto drawn = studio.engine->submit(ask(1), within(milliseconds(40)));
    const auto queued = studio.engine->submit(ask(2), within(milliseconds(20)));
    for (const auto& job : {drawn, queued}) {
      const auto answer = answer_of(*job);
      EXPECT_EQ(answer.code(), ErrorCode::kDeadlineExceeded);
      EXPECT_THAT(answer.message(), HasSubstr("s"));
    }
    studio.engine->drain();  // returns: the call has given up
    EXPECT_EQ(studio.record->live_generations(), 0);
  }
}

TEST(Deadlines, AreKeptWhileTheModelLoads) {
  const auto door = std::make_shared<Door>();
  Studio studio(behind(door));
  EXPECT_EQ(answer_of(*studio.engine->submit(ask(1), within(milliseconds(20)))).code(), ErrorCode::kDeadlineExceeded);
  door->open();
}

TEST(Deadlines, AreSeenThoughNobodyWaits) {
  const auto door = std::make_shared<Door>();
  Studio studio(behind(door), {.max_waiting = 1});
  const auto forgotten = studio.engine->submit(ask(1), within(milliseconds(20)));
  const auto until = std::chrono::steady_clock::now() + kPatience;
  bool accepted = false;
  while (!accepted && std::chrono::steady_clock::now() < until) {
    try {
      studio.engine->submit(ask(2))->cancel();
      accepted = true;
    } catch (const Error&) {
      std::this_thread::sleep_for(milliseconds(1));
    }
  }
  EXPECT_TRUE(accepted) << "it still had the place";
  door->open();
}

TEST(Deadlines, ACompanionGoesOn) {
  const auto door = std::make_shared<Door>();
  Studio studio(behind(door, {.max_generations_per_step = 2, .step_time = milliseconds(10)}));
  const auto request = ask(500, 8);
  const auto patient = studio.engine->submit(request);
  const auto hurried = studio.engine->submit(ask(1, 8), within(milliseconds(60)));
  door->open();
  EXPECT_EQ(answer_of(*hurried).code(), ErrorCode::kDeadlineExceeded);
  expect_pictures(request, answer_of(*patient));
  EXPECT_EQ(steps_of(*studio.record, 500), 8);
}

TEST(Deadlines, AreNotMissedByThoseInTime) {
  Studio studio;
  const auto request = ask(1);
  expect_pictures(request, answer_of(*studio.engine->submit(request, within(kPatience))));
}

TEST(Submit, RefusesOptionsOutOfRange) {
  Studio studio;
  SubmitOptions no_share, high, negative;
  no_share.share = 0;
  high.priority = 4;
  negative.preview_every = -1;
  for (const auto& options : {no_share, high, negative, within(milliseconds(0))}) {
    EXPECT_EQ(error_of([&] { studio.engine->submit(ask(1), options); }).code(), ErrorCode::kInvalidArgument);
  }
}

TEST(Submit, AnAccountHasNoMoreThanItsLimit) {
  const auto door = std::make_shared<Door>();
  Studio studio(behind(door));
  SubmitOptions ada, bob;
  ada.account = "ada", bob.account = "bob";
  ada.max_unended_of_account = bob.max_unended_of_account = 2;
  const auto first = studio.engine->submit(ask(1), ada), second = studio.engine->submit(ask(2), ada);
  const auto refused = error_of([&] { studio.engine->submit(ask(3), ada); });
  EXPECT_EQ(refused.code(), ErrorCode::kResourceExhausted);
  EXPECT_THAT(refused.what(), HasSubstr("this account"));
  EXPECT_NO_THROW(studio.engine->submit(ask(4), bob)) << "others have places";
  first->cancel();
  EXPECT_NO_THROW(studio.engine->submit(ask(5), ada));
  door->open();
  studio.engine->drain();
}

TEST(Submit, RefusesMoreWorkThanAllowed) {
  std::shared_ptr<Door> door;
  std::atomic<bool> hold = false;
  Studio studio({.step_time = milliseconds(10),
                 .on_call =
                     [&](const FakeCall& call) {
                       if (hold && call.kind == FakeCallKind::kBegin) door->pass();
                     }},
                {.max_waiting_seconds = 0.5});
  EXPECT_FALSE(answer_of(*studio.engine->submit(ask(1, 4))).error) << "now a step is known to take 10 ms";
  door = std::make_shared<Door>();
  hold = true;
  const auto long_one = studio.engine->submit(ask(2, 400));
  const auto refused = error_of([&] { studio.engine->submit(ask(3, 4)); });
  EXPECT_EQ(refused.code(), ErrorCode::kResourceExhausted)
      << "four seconds are accepted alone, and nothing beside them";
  EXPECT_THAT(refused.what(), HasSubstr("work"));
  EXPECT_GT(studio.engine->estimated_wait(), 1.5);
  EXPECT_GT(long_one->position().wait_seconds, 1.5);
  long_one->cancel();
  EXPECT_NO_THROW(studio.engine->submit(ask(4, 4)));
  door->open();
  studio.engine->drain();
}

TEST(Submit, SaysWhereARequestStands) {
  const auto door = std::make_shared<Door>();
  Studio studio(behind(door));
  const auto long_one = studio.engine->submit(ask(1, 100)), short_one = studio.engine->submit(ask(2, 4));
  EXPECT_EQ(short_one->position().ahead, 0u) << "it will pass the long one";
  EXPECT_EQ(long_one->position().ahead, 1u);
  EXPECT_LT(short_one->position().wait_seconds, long_one->position().wait_seconds);
  EXPECT_GT(studio.engine->estimated_wait(), 0);
  door->open();
  EXPECT_FALSE(answer_of(*long_one).error);
  EXPECT_EQ(long_one->position().wait_seconds, 0);
}

TEST(Drain, CutsWhatIsNotDoneInTime) {
  Studio studio({.step_time = std::chrono::hours(1)});
  const auto drawn = studio.engine->submit(ask(1)), queued = studio.engine->submit(ask(2));
  while (studio.record->calls(FakeCallKind::kStep).empty()) std::this_thread::yield();
  EXPECT_FALSE(studio.engine->drain(milliseconds(30)));
  for (const auto& job : {drawn, queued}) {
    const auto answer = answer_of(*job);
    EXPECT_EQ(answer.code(), ErrorCode::kUnavailable);
    EXPECT_THAT(answer.message(), HasSubstr("shut down"));
  }
  EXPECT_EQ(studio.record->live_generations(), 0) << "it returns when nothing is held";
  EXPECT_TRUE(studio.engine->drain(milliseconds(0))) << "nothing was left";
}

TEST(Drain, SaysWhenEverythingWasDone) {
  Studio studio;
  const auto job = studio.engine->submit(ask(1));
  EXPECT_TRUE(studio.engine->drain(kPatience));
  EXPECT_FALSE(answer_of(*job).error);
}

}  // namespace
}  // namespace easel::testing
