#include "engine/queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <thread>

namespace easel {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;

ErrorCode code_of_submit(Queue& queue) {
  try {
    queue.submit({}, {}, 0);
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
  const auto queue = std::make_shared<Queue>(Queue::Limits{.max_unended = 8});
  const auto a = queue->submit({}, {}, 0), b = queue->submit({}, {}, 0);
  EXPECT_LT(a->number(), b->number());
  EXPECT_THAT(queue->waiting(), ElementsAre(a, b));
  EXPECT_TRUE(queue->take(*a));
  EXPECT_FALSE(queue->take(*a)) << "twice";
  EXPECT_THAT(queue->waiting(), ElementsAre(b));
}

TEST(Queue, CountsARequestUntilItEnds) {
  const auto queue = std::make_shared<Queue>(Queue::Limits{.max_unended = 2});
  const auto a = queue->submit({}, {}, 0), b = queue->submit({}, {}, 0);
  EXPECT_EQ(code_of_submit(*queue), ErrorCode::kResourceExhausted);
  ASSERT_TRUE(queue->take(*a));
  EXPECT_EQ(code_of_submit(*queue), ErrorCode::kResourceExhausted) << "taken is not ended";
  a->succeed({});
  EXPECT_NO_THROW(queue->submit({}, {}, 0));
  b->cancel();
  EXPECT_NO_THROW(queue->submit({}, {}, 0));
}

TEST(Queue, ACancelledRequestIsGoneAtOnce) {
  const auto queue = std::make_shared<Queue>(Queue::Limits{.max_unended = 8});
  const auto a = queue->submit({}, {}, 0), b = queue->submit({}, {}, 0);
  a->cancel();
  EXPECT_EQ(code_of_take(*a), ErrorCode::kCancelled);
  EXPECT_THAT(queue->waiting(), ElementsAre(b));
  EXPECT_FALSE(queue->take(*a));
  EXPECT_EQ(a.use_count(), 1) << "the queue still holds it";
}

TEST(Queue, ClosedTakesNothingNewAndKeepsTheRest) {
  const auto queue = std::make_shared<Queue>(Queue::Limits{.max_unended = 8});
  const auto a = queue->submit({}, {}, 0);
  queue->close();
  EXPECT_EQ(code_of_submit(*queue), ErrorCode::kUnavailable);
  EXPECT_TRUE(queue->closed());
  EXPECT_TRUE(queue->take(*a));
}

TEST(Queue, AbortEndsEverything) {
  const auto queue = std::make_shared<Queue>(Queue::Limits{.max_unended = 8});
  const auto taken = queue->submit({}, {}, 0), waiting = queue->submit({}, {}, 0);
  ASSERT_TRUE(queue->take(*taken));
  queue->abort({ErrorCode::kUnavailable, "the end", {}});
  EXPECT_EQ(code_of_take(*taken), ErrorCode::kUnavailable);
  EXPECT_EQ(code_of_take(*waiting), ErrorCode::kUnavailable);
  EXPECT_TRUE(queue->waiting().empty());
  EXPECT_FALSE(queue->wait_for_work());
  EXPECT_TRUE(queue->wait_until_idle(milliseconds::max()));
}

TEST(Queue, IdleOnlyWhenTheDrawingThreadIsBack) {
  const auto queue = std::make_shared<Queue>(Queue::Limits{.max_unended = 8});
  const auto job = queue->submit({}, {}, 0);
  ASSERT_TRUE(queue->take(*job));
  job->cancel();
  EXPECT_FALSE(queue->wait_until_idle(milliseconds(50))) << "its pictures may still be in memory";
  EXPECT_TRUE(queue->wait_for_work()) << "the cancellation woke it";
  auto drawing = std::async(std::launch::async, [&] { return queue->wait_for_work(); });
  EXPECT_TRUE(queue->wait_until_idle(milliseconds::max()));
  queue->submit({}, {}, 0);
  EXPECT_TRUE(drawing.get());
}

TEST(Job, TheFirstEndCounts) {
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

TEST(Job, PicturesAreTakenOnce) {
  QueuedJob job(0, {}, {}, {});
  job.succeed({GeneratedImage{{1, 1, {1, 2, 3}}, 9}});
  job.cancel();  // too late
  EXPECT_EQ(job.take().at(0).seed, 9u);
  EXPECT_EQ(code_of_take(job), ErrorCode::kInternal);
}

TEST(Job, OutlivesItsQueue) {
  auto queue = std::make_shared<Queue>(Queue::Limits{.max_unended = 8});
  const auto job = queue->submit({}, {}, 0);
  queue.reset();
  job->cancel();
  EXPECT_EQ(code_of_take(*job), ErrorCode::kCancelled);
}

}  // namespace
}  // namespace easel
