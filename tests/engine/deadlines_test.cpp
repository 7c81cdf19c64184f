// Deadlines of requests, the timeout of a drain, and requests that are rejected because a limit is reached.
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
Error rejection_of(F&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no exception was thrown";
  return Error(ErrorCode::kInternal, "");
}

// Deadlines that expire in the middle of a call that would take an hour, and before it.
TEST(Deadlines, ExpireAtEveryStage) {
  const std::chrono::hours hour(1);
  const FakeOptions stages[] = {{.begin_time = hour}, {.step_time = hour}, {.finish_time = hour}};
  for (const auto& options : stages) {
    EngineFixture fixture(options, {.max_active_generations = 1});
    const auto drawn = fixture.engine->submit(fake_request(1), within(milliseconds(40)));
    const auto queued = fixture.engine->submit(fake_request(2), within(milliseconds(20)));
    for (const auto& job : {drawn, queued}) {
      const auto result = result_of(*job);
      EXPECT_EQ(result.code(), ErrorCode::kDeadlineExceeded);
      EXPECT_THAT(result.message(), HasSubstr("s"));
    }
    fixture.engine->drain();  // returns, because the call has stopped
    EXPECT_EQ(fixture.record->live_generations(), 0);
  }
}

TEST(Deadlines, ExpireWhileTheModelLoads) {
  const auto gate = std::make_shared<Gate>();
  EngineFixture fixture(gated(gate));
  EXPECT_EQ(result_of(*fixture.engine->submit(fake_request(1), within(milliseconds(20)))).code(),
            ErrorCode::kDeadlineExceeded);
  gate->open();
}

TEST(Deadlines, ExpireWithoutAWaiter) {
  const auto gate = std::make_shared<Gate>();
  EngineFixture fixture(gated(gate), {.max_waiting = 1});
  const auto forgotten = fixture.engine->submit(fake_request(1), within(milliseconds(20)));
  const auto until = std::chrono::steady_clock::now() + kTestTimeout;
  bool accepted = false;
  while (!accepted && std::chrono::steady_clock::now() < until) {
    try {
      fixture.engine->submit(fake_request(2))->cancel();
      accepted = true;
    } catch (const Error&) {
      std::this_thread::sleep_for(milliseconds(1));
    }
  }
  EXPECT_TRUE(accepted) << "the expired request still held its place";
  gate->open();
}

TEST(Deadlines, BatchMateContinuesAfterAnExpiry) {
  const auto gate = std::make_shared<Gate>();
  EngineFixture fixture(gated(gate, {.max_generations_per_step = 2, .step_time = milliseconds(10)}));
  const auto request = fake_request(500, 8);
  const auto patient = fixture.engine->submit(request);
  const auto hurried = fixture.engine->submit(fake_request(1, 8), within(milliseconds(60)));
  gate->open();
  EXPECT_EQ(result_of(*hurried).code(), ErrorCode::kDeadlineExceeded);
  expect_images(request, result_of(*patient));
  EXPECT_EQ(steps_of(*fixture.record, 500), 8);
}

TEST(Deadlines, RequestInTimeSucceeds) {
  EngineFixture fixture;
  const auto request = fake_request(1);
  expect_images(request, result_of(*fixture.engine->submit(request, within(kTestTimeout))));
}

TEST(Submit, RejectsOptionsOutOfRange) {
  EngineFixture fixture;
  SubmitOptions no_share, high, negative;
  no_share.share = 0;
  high.priority = 4;
  negative.preview_every = -1;
  for (const auto& options : {no_share, high, negative, within(milliseconds(0))}) {
    EXPECT_EQ(rejection_of([&] { fixture.engine->submit(fake_request(1), options); }).code(),
              ErrorCode::kInvalidArgument);
  }
}

TEST(Submit, AccountLimitRejectsFurtherRequests) {
  const auto gate = std::make_shared<Gate>();
  EngineFixture fixture(gated(gate));
  SubmitOptions ada, bob;
  ada.account = "ada", bob.account = "bob";
  ada.max_pending_per_account = bob.max_pending_per_account = 2;
  const auto first = fixture.engine->submit(fake_request(1), ada),
             second = fixture.engine->submit(fake_request(2), ada);
  const auto refused = rejection_of([&] { fixture.engine->submit(fake_request(3), ada); });
  EXPECT_EQ(refused.code(), ErrorCode::kResourceExhausted);
  EXPECT_THAT(refused.what(), HasSubstr("this account"));
  EXPECT_NO_THROW(fixture.engine->submit(fake_request(4), bob)) << "the limit holds for one account only";
  first->cancel();
  EXPECT_NO_THROW(fixture.engine->submit(fake_request(5), ada));
  gate->open();
  fixture.engine->drain();
}

TEST(Submit, WorkLimitRejectsFurtherRequests) {
  std::shared_ptr<Gate> gate;
  std::atomic<bool> hold = false;
  EngineFixture fixture({.step_time = milliseconds(10),
                         .on_call =
                             [&](const FakeCall& call) {
                               if (hold && call.kind == FakeCallKind::kBegin) gate->pass();
                             }},
                        {.max_waiting_seconds = 0.5});
  EXPECT_FALSE(result_of(*fixture.engine->submit(fake_request(1, 4))).error) << "now a step is known to take 10 ms";
  gate = std::make_shared<Gate>();
  hold = true;
  const auto long_one = fixture.engine->submit(fake_request(2, 400));
  const auto refused = rejection_of([&] { fixture.engine->submit(fake_request(3, 4)); });
  EXPECT_EQ(refused.code(), ErrorCode::kResourceExhausted)
      << "a request of four seconds is accepted as the only one, and no other one with it";
  EXPECT_THAT(refused.what(), HasSubstr("work"));
  EXPECT_GT(fixture.engine->advise_retry({}).estimated_wait, 1.5);
  EXPECT_GT(long_one->position().wait_seconds, 1.5);
  long_one->cancel();
  EXPECT_NO_THROW(fixture.engine->submit(fake_request(4, 4)));
  gate->open();
  fixture.engine->drain();
}

TEST(Submit, ReportsQueuePosition) {
  const auto gate = std::make_shared<Gate>();
  EngineFixture fixture(gated(gate));
  const auto long_one = fixture.engine->submit(fake_request(1, 100)),
             short_one = fixture.engine->submit(fake_request(2, 4));
  EXPECT_EQ(short_one->position().ahead, 0u) << "it will overtake the long one";
  EXPECT_EQ(long_one->position().ahead, 1u);
  EXPECT_LT(short_one->position().wait_seconds, long_one->position().wait_seconds);
  EXPECT_GT(fixture.engine->advise_retry({}).estimated_wait, 0);
  gate->open();
  EXPECT_FALSE(result_of(*long_one).error);
  EXPECT_EQ(long_one->position().wait_seconds, 0);
}

TEST(Drain, TimeoutFailsUnfinishedRequests) {
  EngineFixture fixture({.step_time = std::chrono::hours(1)});
  const auto drawn = fixture.engine->submit(fake_request(1)), queued = fixture.engine->submit(fake_request(2));
  while (fixture.record->calls(FakeCallKind::kStep).empty()) std::this_thread::yield();
  EXPECT_FALSE(fixture.engine->drain(milliseconds(30)));
  for (const auto& job : {drawn, queued}) {
    const auto result = result_of(*job);
    EXPECT_EQ(result.code(), ErrorCode::kUnavailable);
    EXPECT_THAT(result.message(), HasSubstr("shut down"));
  }
  EXPECT_EQ(fixture.record->live_generations(), 0) << "drain returns when no image is in memory";
  EXPECT_TRUE(fixture.engine->drain(milliseconds(0))) << "there was nothing to end";
}

TEST(Drain, ReturnsAlthoughADeviceDoesNot) {
  const auto gate = std::make_shared<Gate>();
  FakeOptions hanging;
  hanging.on_call = [gate](const FakeCall& call) {
    if (call.kind == FakeCallKind::kStep) gate->pass();
  };
  EngineFixture fixture(std::move(hanging), {.abort_timeout = milliseconds(30)});
  const auto job = fixture.engine->submit(fake_request(1));
  while (fixture.record->calls(FakeCallKind::kStep).empty()) std::this_thread::yield();
  EXPECT_FALSE(fixture.engine->drain(milliseconds(30)));
  EXPECT_EQ(result_of(*job).code(), ErrorCode::kUnavailable);
  EXPECT_FALSE(fixture.engine->at_rest()) << "the step has not returned";
  gate->open();
  EXPECT_TRUE(fixture.engine->drain(kTestTimeout));
  EXPECT_TRUE(fixture.engine->at_rest());
}

TEST(Drain, ReturnsTrueWhenAllRequestsFinished) {
  EngineFixture fixture;
  const auto job = fixture.engine->submit(fake_request(1));
  EXPECT_TRUE(fixture.engine->drain(kTestTimeout));
  EXPECT_FALSE(result_of(*job).error);
}

}  // namespace
}  // namespace easel::testing
