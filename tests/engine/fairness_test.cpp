// Who ends when, counted in steps: no clock has a say.
#include <gmock/gmock.h>

#include "harness.h"

namespace easel::testing {
namespace {

// Position of the decode of a seed among all calls, and how many steps of another seed came before it.
int steps_before_finish(const FakeRecord& record, std::uint64_t finished, std::uint64_t other) {
  int steps = 0;
  for (const auto& call : record.calls()) {
    if (call.kind == FakeCallKind::kFinish && call.seeds.front() == finished) return steps;
    if (call.kind == FakeCallKind::kStep)
      steps += static_cast<int>(std::count(call.seeds.begin(), call.seeds.end(), other));
  }
  ADD_FAILURE() << "seed " << finished << " was never decoded";
  return steps;
}

TEST(Fairness, AShortJobEndsEarlyBesideALongOne) {
  const std::uint64_t long_seed = 1, short_seed = 2;
  std::shared_ptr<Job> short_job;
  Engine* engine = nullptr;
  const auto door = std::make_shared<Door>();
  Studio studio(behind(door, {.on_call = [&](const FakeCall& call) {
                         // The newcomer arrives in the middle of the long one's step 30.
                         if (call.kind == FakeCallKind::kStep && call.seeds.front() == long_seed &&
                             call.steps[0] == 30) {
                           short_job = engine->submit(ask(short_seed, 4));
                         }
                       }}));
  engine = studio.engine.get();
  const auto long_job = studio.engine->submit(ask(long_seed, 100));
  door->open();
  EXPECT_FALSE(answer_of(*long_job).error);
  EXPECT_FALSE(answer_of(*short_job).error);
  const auto waited = steps_before_finish(*studio.record, short_seed, long_seed) - 31;
  EXPECT_LE(waited, 4) << "four steps of its own, a beginning and a decode: hardly any of the other's";
}

TEST(Fairness, ManyPicturesDoNotBuyALargerShare) {
  const auto door = std::make_shared<Door>();
  Studio studio(behind(door));
  const auto many = studio.engine->submit(ask(100, 20, /*num_images=*/8));
  const auto one = studio.engine->submit(ask(1, 20));
  door->open();
  EXPECT_FALSE(answer_of(*many).error);
  EXPECT_FALSE(answer_of(*one).error);
  int others = 0;
  for (std::uint64_t seed = 100; seed < 108; ++seed) others += steps_before_finish(*studio.record, 1, seed);
  EXPECT_LE(others, 20) << "with equal shares it would be as many";
}

TEST(Fairness, PicturesOfARequestKeepPace) {
  const auto door = std::make_shared<Door>();
  Studio studio(behind(door));
  const auto job = studio.engine->submit(ask(1, 10, 3));
  door->open();
  EXPECT_FALSE(answer_of(*job).error);
  const auto calls = studio.record->calls(FakeCallKind::kStep);
  for (std::size_t i = 0; i < calls.size(); ++i) EXPECT_EQ(calls[i].steps.front(), static_cast<std::int64_t>(i) / 3);
}

// A new short request whenever one ends: the long one must not wait for them to stop coming.
TEST(Fairness, ALongJobIsNotStarvedByAStreamOfShortOnes) {
  const std::uint64_t long_seed = 1;
  int shorts = 0;
  bool long_ended = false;
  Engine* engine = nullptr;
  const auto door = std::make_shared<Door>();
  Studio studio(behind(door, {.on_call = [&](const FakeCall& call) {
                         if (call.kind != FakeCallKind::kFinish) return;
                         if (call.seeds.front() == long_seed) {
                           long_ended = true;
                         } else if (!long_ended && shorts < 1000) {
                           engine->submit(ask(1000 + ++shorts, 2));
                         }
                       }}));
  engine = studio.engine.get();
  const auto long_job = studio.engine->submit(ask(long_seed, 60));
  studio.engine->submit(ask(1000, 2));
  studio.engine->submit(ask(5000, 2));
  door->open();
  EXPECT_FALSE(answer_of(*long_job).error);
  // With equal shares it would be beside two streams: twice its own work of theirs, about 25 requests each.
  EXPECT_LE(shorts, 200) << "of a thousand";
  studio.engine->drain();
}

TEST(Batching, EqualKeysFillTheStep) {
  const auto door = std::make_shared<Door>();
  Studio studio(behind(door, {.max_generations_per_step = 4}));
  std::vector<std::shared_ptr<Job>> jobs;
  for (int i = 0; i < 4; ++i) jobs.push_back(studio.engine->submit(ask(100 * i, 10)));
  door->open();
  for (const auto& job : jobs) EXPECT_FALSE(answer_of(*job).error);
  // Where a step has room, beginnings come first.
  for (const auto& call : studio.record->calls(FakeCallKind::kStep)) EXPECT_EQ(call.seeds.size(), 4u);
}

TEST(Batching, KeysThatChangeOnTheWaySplitAndJoin) {
  const auto door = std::make_shared<Door>();
  Studio studio(behind(door, {.max_generations_per_step = 8, .steps_per_phase = 5}));
  auto wide = ask(300, 10);
  wide.width = 128;
  wide.height = 64;
  std::vector<std::shared_ptr<Job>> jobs;
  for (const auto& request : {ask(100, 20, 2), ask(200, 10, 2), wide}) jobs.push_back(studio.engine->submit(request));
  door->open();
  for (const auto& job : jobs) EXPECT_FALSE(answer_of(*job).error);
  std::size_t largest = 0;
  for (const auto& call : studio.record->calls(FakeCallKind::kStep)) largest = std::max(largest, call.seeds.size());
  EXPECT_EQ(largest, 4u) << "the wide one never joins; unequal keys would be a violation";
}

TEST(Batching, OneAtATimeWhereTheDeviceSaysSo) {
  const auto door = std::make_shared<Door>();
  Studio studio(behind(door, {.max_generations_per_step = 1}));
  const auto job = studio.engine->submit(ask(1, 3, 5));
  door->open();
  EXPECT_FALSE(answer_of(*job).error);
  for (const auto& call : studio.record->calls(FakeCallKind::kStep)) EXPECT_EQ(call.seeds.size(), 1u);
}

}  // namespace
}  // namespace easel::testing
