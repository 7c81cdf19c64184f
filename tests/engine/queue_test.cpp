#include "engine/waiting/queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>

namespace easel {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;

/// A request takes as many seconds as it has steps.
struct FixedEstimates final : DeviceEstimates {
  explicit FixedEstimates(std::vector<double> ready_in) : ready(std::move(ready_in)) {}
  std::size_t count() const override { return ready.size(); }
  double seconds_of(std::size_t, const GenerationRequest& request) const override {
    return static_cast<double>(request.num_inference_steps.value_or(0));
  }
  double ready_in(std::size_t device, const std::string&) const override { return ready[device]; }
  std::vector<double> ready;  // by device
};

std::shared_ptr<Queue> make_queue(Queue::Limits limits) {
  return std::make_shared<Queue>(limits, std::make_shared<FixedEstimates>(std::vector<double>{0}));
}

GenerationRequest of_seconds(int seconds) {
  GenerationRequest request;
  request.num_inference_steps = seconds;
  return request;
}

ErrorCode code_of_submit(Queue& queue) {
  try {
    queue.submit({}, {});
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "submit did not throw";
  return ErrorCode::kInternal;
}

ErrorCode code_of_take(Job& job) {
  try {
    job.take();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "take did not throw";
  return ErrorCode::kInternal;
}

TEST(Queue, FirstInFirstOut) {
  const auto queue = make_queue({.max_pending = 8});
  const auto a = queue->submit({}, {}), b = queue->submit({}, {});
  EXPECT_LT(a->number(), b->number());
  EXPECT_THAT(queue->waiting(0), ElementsAre(a, b));
  EXPECT_TRUE(queue->take(*a, 0));
  EXPECT_FALSE(queue->take(*a, 0)) << "twice";
  EXPECT_THAT(queue->waiting(0), ElementsAre(b));
}

TEST(Queue, CountsARequestAgainstTheLimitUntilItEnds) {
  const auto queue = make_queue({.max_pending = 2});
  const auto a = queue->submit({}, {}), b = queue->submit({}, {});
  EXPECT_EQ(code_of_submit(*queue), ErrorCode::kResourceExhausted);
  ASSERT_TRUE(queue->take(*a, 0));
  EXPECT_EQ(code_of_submit(*queue), ErrorCode::kResourceExhausted) << "a taken request still counts";
  a->succeed({});
  EXPECT_NO_THROW(queue->submit({}, {}));
  b->cancel();
  EXPECT_NO_THROW(queue->submit({}, {}));
}

TEST(Queue, CancelledRequestIsRemovedAtOnce) {
  const auto queue = make_queue({.max_pending = 8});
  const auto a = queue->submit({}, {}), b = queue->submit({}, {});
  a->cancel();
  EXPECT_EQ(code_of_take(*a), ErrorCode::kCancelled);
  EXPECT_THAT(queue->waiting(0), ElementsAre(b));
  EXPECT_FALSE(queue->take(*a, 0));
  EXPECT_EQ(a.use_count(), 1) << "the queue still holds it";
}

TEST(Queue, ClosedQueueRejectsNewAndKeepsAcceptedRequests) {
  const auto queue = make_queue({.max_pending = 8});
  const auto a = queue->submit({}, {});
  queue->close();
  EXPECT_EQ(code_of_submit(*queue), ErrorCode::kUnavailable);
  EXPECT_TRUE(queue->closed());
  EXPECT_TRUE(queue->take(*a, 0));
}

TEST(Queue, AbortFailsAllRequests) {
  const auto queue = make_queue({.max_pending = 8});
  const auto taken = queue->submit({}, {}), waiting = queue->submit({}, {});
  ASSERT_TRUE(queue->take(*taken, 0));
  queue->abort({ErrorCode::kUnavailable, "the end", {}});
  EXPECT_EQ(code_of_take(*taken), ErrorCode::kUnavailable);
  EXPECT_EQ(code_of_take(*waiting), ErrorCode::kUnavailable);
  EXPECT_TRUE(queue->waiting(0).empty());
  EXPECT_FALSE(queue->wait_for_work(0));
  EXPECT_TRUE(queue->wait_until_idle(milliseconds::max()));
}

TEST(Queue, IdleOnlyWhenTheLoopThreadWaitsAgain) {
  const auto queue = make_queue({.max_pending = 8});
  const auto job = queue->submit({}, {});
  ASSERT_TRUE(queue->take(*job, 0));
  job->cancel();
  EXPECT_FALSE(queue->wait_until_idle(milliseconds(50))) << "its images may still be in memory";
  EXPECT_TRUE(queue->wait_for_work(0)) << "the cancellation woke it";
  auto drawing = std::async(std::launch::async, [&] { return queue->wait_for_work(0); });
  EXPECT_TRUE(queue->wait_until_idle(milliseconds::max()));
  queue->submit({}, {});
  EXPECT_TRUE(drawing.get());
}

TEST(QueueAssignment, PicksTheDeviceThatFinishesFirst) {
  const auto devices =
      std::make_shared<FixedEstimates>(std::vector<double>{0, 15});  // device 1 would have to load the model
  const auto queue = std::make_shared<Queue>(Queue::Limits{.max_pending = 8}, devices);
  const auto a = queue->submit(of_seconds(10), {}), b = queue->submit(of_seconds(10), {});
  EXPECT_THAT(queue->waiting(0), ElementsAre(a, b))
      << "20 s, after the other request, is sooner than 10 s of work after 15 s of loading";
  const auto c = queue->submit(of_seconds(10), {});
  EXPECT_THAT(queue->waiting(1), ElementsAre(c));
  EXPECT_FALSE(queue->take(*c, 0)) << "it is assigned to the other device";
  EXPECT_TRUE(queue->take(*c, 1));
  EXPECT_THAT(queue->waiting(0), ElementsAre(a, b));
}

TEST(QueueAssignment, MovesOnlyForAtLeastTwentyPercentGain) {
  const auto devices = std::make_shared<FixedEstimates>(std::vector<double>{0, 0});
  const auto queue = std::make_shared<Queue>(Queue::Limits{.max_pending = 8}, devices);
  const auto a = queue->submit(of_seconds(10), {});
  ASSERT_THAT(queue->waiting(0), ElementsAre(a));
  devices->ready[0] = 2;
  EXPECT_THAT(queue->waiting(0), ElementsAre(a)) << "10 s instead of 12 s is not worth it";
  devices->ready[0] = 3;
  EXPECT_TRUE(queue->waiting(0).empty());
  EXPECT_THAT(queue->waiting(1), ElementsAre(a));
  ASSERT_TRUE(queue->take(*a, 1));
  devices->ready[1] = 1000;
  EXPECT_TRUE(queue->waiting(0).empty()) << "a request that was begun stays";
}

TEST(QueueAssignment, NeverReturnsToADeviceThatCannotLoadTheModel) {
  const auto devices = std::make_shared<FixedEstimates>(std::vector<double>{0, 100});
  const auto queue = std::make_shared<Queue>(Queue::Limits{.max_pending = 8}, devices);
  const auto a = queue->submit(of_seconds(10), {});
  EXPECT_TRUE(queue->reassign_from(*a, 0));
  EXPECT_TRUE(queue->waiting(0).empty()) << "although the device is ready at once";
  EXPECT_THAT(queue->waiting(1), ElementsAre(a));
  EXPECT_TRUE(queue->reassign_from(*a, 0)) << "it is assigned to another device already";
  EXPECT_FALSE(queue->reassign_from(*a, 1)) << "no device is left";
}

TEST(QueueAssignment, ReassignmentWakesTheIdleDevice) {
  const auto devices = std::make_shared<FixedEstimates>(std::vector<double>{0, 5});
  const auto queue = std::make_shared<Queue>(Queue::Limits{.max_pending = 8}, devices);
  const auto a = queue->submit(of_seconds(4), {});
  ASSERT_TRUE(queue->wait_for_work(1)) << "its arrival wakes every device";
  auto sleeping = std::async(std::launch::async, [&] { return queue->wait_for_work(1); });
  EXPECT_TRUE(queue->reassign_from(*a, 0));
  EXPECT_TRUE(sleeping.get());
  EXPECT_THAT(queue->waiting(1), ElementsAre(a));
}

TEST(QueueAssignment, PositionCountsOnlyRequestsOnTheSameDevice) {
  const auto devices = std::make_shared<FixedEstimates>(std::vector<double>{0, 0});
  const auto queue = std::make_shared<Queue>(Queue::Limits{.max_pending = 8}, devices);
  std::vector<std::shared_ptr<QueuedJob>> jobs;
  for (int i = 0; i < 4; ++i) jobs.push_back(queue->submit(of_seconds(10), {}));
  EXPECT_EQ(queue->waiting(0).size(), 2u);
  EXPECT_EQ(jobs[3]->position().ahead, 1u);
  EXPECT_EQ(jobs[3]->position().wait_seconds, 20);
  EXPECT_EQ(queue->advise_retry({}).estimated_wait, 5) << "two devices, each of which ends a request every ten seconds";
}

SubmitOptions of_account(const std::string& account) {
  SubmitOptions options;
  options.account = account;
  return options;
}

TEST(QueuePlaces, AThirdMoreAreKeptForAccountsBelowAnEqualPart) {
  const auto queue = make_queue({.max_pending = 6});
  const auto submit = [&](const std::string& account) { queue->submit({}, of_account(account)); };
  for (int i = 0; i < 6; ++i) submit("a");
  EXPECT_THROW(submit("a"), Error) << "it holds 6 of 8, and an equal part is 8 / (1 + 1)";
  EXPECT_NO_THROW(submit("b")) << "none of 8 / (1 + 1)";
  EXPECT_NO_THROW(submit("b")) << "1 of 8 / (2 + 1)";
  EXPECT_THROW(submit("b"), Error) << "all 8 places are taken";
  EXPECT_THROW(submit("c"), Error) << "all 8 places are taken";
}

TEST(QueuePlaces, AccountWithAnEqualPartGetsNoneOfThem) {
  const auto queue = make_queue({.max_pending = 6});
  for (int i = 0; i < 3; ++i) queue->submit({}, of_account("a"));
  for (int i = 0; i < 3; ++i) queue->submit({}, of_account("b"));
  EXPECT_THROW(queue->submit({}, of_account("b")), Error) << "3 is not below 8 / (2 + 1)";
  EXPECT_NO_THROW(queue->submit({}, of_account("c")));
}

TEST(QueuePlaces, ThereAreNoFurtherOnesAtOneAndTwo) {
  for (const std::size_t places : {1, 2}) {
    const auto queue = make_queue({.max_pending = places});
    for (std::size_t i = 0; i < places; ++i) queue->submit({}, of_account("a"));
    EXPECT_THROW(queue->submit({}, of_account("b")), Error);
  }
}

TEST(RetryAdvice, SpreadsRejectedClientsAndIsNeverAboveAMinute) {
  auto now = std::chrono::steady_clock::now();
  const auto queue =
      std::make_shared<Queue>(Queue::Limits{.max_pending = 2}, std::make_shared<FixedEstimates>(std::vector<double>{0}),
                              [&now] { return now; });
  for (int i = 0; i < 2; ++i) queue->submit(of_seconds(10), {});
  for (int i = 1; i <= 5; ++i) {
    const auto advice = queue->advise_retry({});
    EXPECT_EQ(advice.estimated_wait, 10 * i) << "a request ends every ten seconds";
    EXPECT_EQ(advice.retry_after, 10 * i);
  }
  for (int i = 0; i < 100; ++i) {
    const auto advice = queue->advise_retry({});
    EXPECT_GE(advice.estimated_wait, 60);
    EXPECT_LE(advice.retry_after, 60);
    EXPECT_GE(advice.retry_after, 30);
  }
  now += std::chrono::minutes(2);
  EXPECT_EQ(queue->advise_retry({}).retry_after, 10) << "the times at which the rejected clients come back have passed";
}

TEST(RetryAdvice, WaitsForTheAccountsOwnRequestsAtItsLimit) {
  const auto queue = make_queue({.max_pending = 64});
  auto options = of_account("a");
  options.max_pending_per_account = 1;
  queue->submit(of_seconds(10), options);
  for (int i = 0; i < 3; ++i) queue->submit(of_seconds(10), of_account("b"));
  EXPECT_EQ(queue->advise_retry(of_account("c")).estimated_wait, 10);
  EXPECT_EQ(queue->advise_retry(options).estimated_wait, 20) << "two accounts share the device";
}

TEST(Job, OnlyTheFirstEndTakesEffect) {
  int ends = 0;
  QueuedJob job(0, {}, {}, {.on_end = [&](const QueuedJob&, RequestOutcome) { ++ends; }});
  EXPECT_FALSE(job.wait_for(milliseconds(0)));
  EXPECT_TRUE(job.fail({ErrorCode::kNotFound, "first", "model"}));
  EXPECT_FALSE(job.succeed({}));
  EXPECT_FALSE(job.fail({ErrorCode::kInternal, "third", {}}));
  job.cancel();
  EXPECT_EQ(ends, 1);
  EXPECT_TRUE(job.wait_for(milliseconds::max())) << "no overflow";
  for (int i = 0; i < 2; ++i) {
    try {
      job.take();
      ADD_FAILURE() << "take did not throw";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kNotFound);
      EXPECT_STREQ(error.what(), "first");
      EXPECT_EQ(error.param(), "model");
    }
  }
}

TEST(Job, SecondTakeFails) {
  QueuedJob job(0, {}, {}, {});
  job.succeed({GeneratedImage{{1, 1, {1, 2, 3}}, 9}});
  job.cancel();  // too late
  EXPECT_EQ(job.take().at(0).seed, 9u);
  EXPECT_EQ(code_of_take(job), ErrorCode::kInternal);
}

TEST(Job, OutlivesItsQueue) {
  auto queue = make_queue({.max_pending = 8});
  const auto job = queue->submit({}, {});
  queue.reset();
  job->cancel();
  EXPECT_EQ(code_of_take(*job), ErrorCode::kCancelled);
}

}  // namespace
}  // namespace easel
