#include "engine/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace easel {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Candidate step_of(std::uint64_t request, double served, std::int64_t steps_done = 0) {
  return {.kind = WorkKind::kStep, .served = served, .request = request, .steps_done = steps_done, .batch_key = "k"};
}

TEST(ChooseWork, NothingOfNothing) {
  EXPECT_THAT(choose_work({}), IsEmpty());
}

TEST(ChooseWork, TheLeastServedRequestLeads) {
  EXPECT_THAT(choose_work(std::vector{step_of(0, 3), step_of(1, 1), step_of(2, 2)}), ElementsAre(1));
}

TEST(ChooseWork, TheOlderOfTwoEquallyServed) {
  EXPECT_THAT(choose_work(std::vector{step_of(5, 1), step_of(4, 1)}), ElementsAre(1));
}

TEST(ChooseWork, TheSlowestPictureOfARequest) {
  EXPECT_THAT(choose_work(std::vector{step_of(0, 1, 7), step_of(0, 1, 6), step_of(0, 1, 6)}), ElementsAre(1));
}

TEST(ChooseWork, WithinARequestDecodesThenBeginningsThenSteps) {
  auto begin = step_of(0, 1);
  begin.kind = WorkKind::kBegin;
  auto finish = step_of(0, 1, 50);
  finish.kind = WorkKind::kFinish;
  EXPECT_THAT(choose_work(std::vector{step_of(0, 1), begin, finish}), ElementsAre(2));
  EXPECT_THAT(choose_work(std::vector{step_of(0, 1), begin}), ElementsAre(1));
}

TEST(ChooseWork, FillsAStepWithEqualKeysByNeed) {
  std::vector candidates{step_of(0, 9), step_of(1, 5), step_of(2, 7), step_of(3, 1)};
  for (auto& candidate : candidates) candidate.most_at_once = 3;
  EXPECT_THAT(choose_work(candidates), ElementsAre(3, 1, 2));
}

TEST(ChooseWork, OnlyEqualKeysOfOneModelShareAStep) {
  std::vector candidates{step_of(0, 1), step_of(1, 2), step_of(2, 3), step_of(3, 4), step_of(4, 5)};
  for (auto& candidate : candidates) candidate.most_at_once = 8;
  candidates[1].batch_key = "other";
  candidates[2].model = 1;
  candidates[3].kind = WorkKind::kFinish;
  EXPECT_THAT(choose_work(candidates), ElementsAre(0, 4));
}

TEST(ChooseWork, ASuspectHasNoCompany) {
  std::vector candidates{step_of(0, 1), step_of(1, 2), step_of(2, 3)};
  for (auto& candidate : candidates) candidate.most_at_once = 8;
  candidates[0].alone = true;
  EXPECT_THAT(choose_work(candidates), ElementsAre(0)) << "as leader";
  candidates[0].alone = false;
  candidates[1].alone = true;
  EXPECT_THAT(choose_work(candidates), ElementsAre(0, 2)) << "as companion";
}

TEST(ChooseWork, DecodesAndBeginningsComeOneAtATime) {
  for (const auto kind : {WorkKind::kBegin, WorkKind::kFinish}) {
    std::vector candidates{step_of(0, 1), step_of(1, 1)};
    for (auto& candidate : candidates) candidate.kind = kind, candidate.most_at_once = 8;
    EXPECT_THAT(choose_work(candidates), ElementsAre(0));
  }
}

// Drives choose_work and FairShare as the loop does, with work of given cost that never ends.
struct Simulation {
  struct Request {
    double served;
    double cost;
    int turns = 0;
  };
  void arrive(std::uint64_t number, double cost) { requests[number] = {share.opening_account(), cost}; }
  void turn() {
    std::vector<Candidate> candidates;
    for (const auto& [number, request] : requests) candidates.push_back(step_of(number, request.served));
    const auto& chosen = candidates[choose_work(candidates).front()];
    share.lead(chosen.served);
    auto& request = requests[chosen.request];
    request.served += request.cost;
    ++request.turns;
  }
  FairShare share;
  std::map<std::uint64_t, Request> requests;
};

TEST(FairShare, EqualCostsTakeTurns) {
  Simulation simulation;
  simulation.arrive(0, 1);
  simulation.arrive(1, 1);
  simulation.arrive(2, 1);
  for (int i = 0; i < 30; ++i) simulation.turn();
  for (const auto& [number, request] : simulation.requests) EXPECT_EQ(request.turns, 10) << number;
}

TEST(FairShare, SharesAreOfCostNotOfTurns) {
  Simulation simulation;
  simulation.arrive(0, 10);
  simulation.arrive(1, 1);
  for (int i = 0; i < 110; ++i) simulation.turn();
  EXPECT_NEAR(simulation.requests[0].turns, 10, 1);
  EXPECT_NEAR(simulation.requests[1].turns, 100, 1);
}

TEST(FairShare, ANewcomerHasNoDebtAndNoCredit) {
  Simulation simulation;
  simulation.arrive(0, 1);
  for (int i = 0; i < 1000; ++i) simulation.turn();
  simulation.arrive(1, 1);
  for (int i = 0; i < 10; ++i) simulation.turn();
  EXPECT_NEAR(simulation.requests[1].turns, 5, 1);
  EXPECT_NEAR(simulation.requests[0].turns, 1005, 1);
}

TEST(Cost, GrowsWithModelRowsAndSize) {
  ModelDescription model;
  model.parameters = 1000;
  model.native_width = model.native_height = 512;
  GenerationRequest native, large;
  large.width = 1024;
  large.height = 512;
  const auto cost = row_cost(model, native);
  EXPECT_DOUBLE_EQ(row_cost(model, large), 2 * cost);
  EXPECT_DOUBLE_EQ(step_cost(cost, 2), 2 * step_cost(cost, 1));
  EXPECT_LT(begin_cost(cost), finish_cost(cost));
  model.draws_native_size_only = true;
  EXPECT_DOUBLE_EQ(row_cost(model, large), cost) << "it is drawn at its own size whatever is asked for";
  model.parameters *= 3;
  EXPECT_DOUBLE_EQ(row_cost(model, native), 3 * cost);
}

TEST(Cost, IsPositiveEvenWhereNothingIsKnown) {
  ModelDescription model;
  model.parameters = 0;
  GenerationRequest request;
  request.width = request.height = 0;
  EXPECT_GT(row_cost(model, request), 0);
}

TEST(BatchLimit, HalvesAndNeverFallsBelowOne) {
  BatchLimit limit(8);
  EXPECT_EQ(limit.current(), 8);
  limit.ran_out(8);
  EXPECT_EQ(limit.current(), 4);
  limit.ran_out(3);
  EXPECT_EQ(limit.current(), 1);
  EXPECT_EQ(BatchLimit(0).current(), 1);
}

TEST(BatchLimit, GrowsBackAfterManyFullStepsOnly) {
  BatchLimit limit(8);
  limit.ran_out(5);
  ASSERT_EQ(limit.current(), 2);
  for (int i = 0; i < 1000; ++i) limit.went_well(1);
  EXPECT_EQ(limit.current(), 2) << "smaller steps say nothing about larger ones";
  int steps = 0;
  for (; limit.current() < 8 && steps < 10000; ++steps) limit.went_well(limit.current());
  EXPECT_EQ(limit.current(), 8);
  EXPECT_GE(steps, 100);
  limit.went_well(8);
  EXPECT_EQ(limit.current(), 8);
}

}  // namespace
}  // namespace easel
