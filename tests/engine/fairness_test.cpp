// Which request ends when, counted in steps, so that no clock matters.
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

TEST(Fairness, ShortJobOvertakesALongOne) {
  const std::uint64_t long_seed = 1, short_seed = 2;
  std::shared_ptr<Job> short_job;
  Engine* engine = nullptr;
  const auto gate = std::make_shared<Gate>();
  EngineFixture fixture(gated(gate, {.on_call = [&](const FakeCall& call) {
                                // The short request arrives in the middle of the long one's step 30.
                                if (call.kind == FakeCallKind::kStep && call.seeds.front() == long_seed &&
                                    call.steps[0] == 30) {
                                  short_job = engine->submit(fake_request(short_seed, 4));
                                }
                              }}));
  engine = fixture.engine.get();
  const auto long_job = fixture.engine->submit(fake_request(long_seed, 100));
  gate->open();
  EXPECT_FALSE(result_of(*long_job).error);
  EXPECT_FALSE(result_of(*short_job).error);
  const auto waited = steps_before_finish(*fixture.record, short_seed, long_seed) - 31;
  EXPECT_LE(waited, 4) << "its own four steps, begin and decode, and hardly any step of the other request";
}

TEST(Fairness, ManyImagesDoNotIncreaseARequestsShare) {
  const auto gate = std::make_shared<Gate>();
  EngineFixture fixture(gated(gate));
  const auto many = fixture.engine->submit(fake_request(100, 20, /*num_images=*/8));
  const auto one = fixture.engine->submit(fake_request(1, 20));
  gate->open();
  EXPECT_FALSE(result_of(*many).error);
  EXPECT_FALSE(result_of(*one).error);
  int others = 0;
  for (std::uint64_t seed = 100; seed < 108; ++seed) others += steps_before_finish(*fixture.record, 1, seed);
  EXPECT_LE(others, 20) << "no more than with equal shares";
}

TEST(Fairness, ImagesOfARequestAdvanceTogether) {
  const auto gate = std::make_shared<Gate>();
  EngineFixture fixture(gated(gate));
  const auto job = fixture.engine->submit(fake_request(1, 10, 3));
  gate->open();
  EXPECT_FALSE(result_of(*job).error);
  const auto calls = fixture.record->calls(FakeCallKind::kStep);
  for (std::size_t i = 0; i < calls.size(); ++i) EXPECT_EQ(calls[i].steps.front(), static_cast<std::int64_t>(i) / 3);
}

// There is a new short request whenever one ends; the long request must not wait until they stop.
TEST(Fairness, ALongJobIsNotStarvedByAStreamOfShortOnes) {
  const std::uint64_t long_seed = 1;
  int shorts = 0;
  bool long_ended = false;
  Engine* engine = nullptr;
  const auto gate = std::make_shared<Gate>();
  EngineFixture fixture(gated(gate, {.on_call = [&](const FakeCall& call) {
                                if (call.kind != FakeCallKind::kFinish) return;
                                if (call.seeds.front() == long_seed) {
                                  long_ended = true;
                                } else if (!long_ended && shorts < 1000) {
                                  engine->submit(fake_request(1000 + ++shorts, 2));
                                }
                              }}));
  engine = fixture.engine.get();
  const auto long_job = fixture.engine->submit(fake_request(long_seed, 60));
  fixture.engine->submit(fake_request(1000, 2));
  fixture.engine->submit(fake_request(5000, 2));
  gate->open();
  EXPECT_FALSE(result_of(*long_job).error);
  // With equal shares it would run along with two streams, which get twice its own work: about 25 requests each.
  EXPECT_LE(shorts, 200) << "of a thousand";
  fixture.engine->drain();
}

TEST(Batching, EqualKeysShareAStep) {
  const auto gate = std::make_shared<Gate>();
  EngineFixture fixture(gated(gate, {.max_generations_per_step = 4}));
  std::vector<std::shared_ptr<Job>> jobs;
  for (int i = 0; i < 4; ++i) jobs.push_back(fixture.engine->submit(fake_request(100 * i, 10)));
  gate->open();
  for (const auto& job : jobs) EXPECT_FALSE(result_of(*job).error);
  // Where a step has room left, waiting requests are begun first.
  for (const auto& call : fixture.record->calls(FakeCallKind::kStep)) EXPECT_EQ(call.seeds.size(), 4u);
}

TEST(Batching, ChangingKeysSplitAndMergeBatches) {
  const auto gate = std::make_shared<Gate>();
  EngineFixture fixture(gated(gate, {.max_generations_per_step = 8, .steps_per_phase = 5}));
  auto wide = fake_request(300, 10);
  wide.width = 128;
  wide.height = 64;
  std::vector<std::shared_ptr<Job>> jobs;
  for (const auto& request : {fake_request(100, 20, 2), fake_request(200, 10, 2), wide})
    jobs.push_back(fixture.engine->submit(request));
  gate->open();
  for (const auto& job : jobs) EXPECT_FALSE(result_of(*job).error);
  std::size_t largest = 0;
  for (const auto& call : fixture.record->calls(FakeCallKind::kStep)) largest = std::max(largest, call.seeds.size());
  EXPECT_EQ(largest, 4u) << "the wide image never joins; a step of unequal keys would be a violation";
}

TEST(Batching, BatchSizeOneIsRespected) {
  const auto gate = std::make_shared<Gate>();
  EngineFixture fixture(gated(gate, {.max_generations_per_step = 1}));
  const auto job = fixture.engine->submit(fake_request(1, 3, 5));
  gate->open();
  EXPECT_FALSE(result_of(*job).error);
  for (const auto& call : fixture.record->calls(FakeCallKind::kStep)) EXPECT_EQ(call.seeds.size(), 1u);
}

}  // namespace
}  // namespace easel::testing
