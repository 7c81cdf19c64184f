#include "engine/waiting/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/device/batch_limit.h"
#include "engine/waiting/fair_sojourn.h"

namespace easel {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::optional<double> no_curve(std::size_t, std::string_view, int) {
  return std::nullopt;
}
std::optional<double> cpu_curve(std::size_t, std::string_view, int rows) {
  return rows;
}

Candidate step_of(std::uint64_t request, std::int64_t steps_done = 0) {
  return {.kind = WorkKind::kStep, .request = request, .steps_done = steps_done, .batch_key = "k", .seconds = 1};
}
Candidate work_of(std::uint64_t request, WorkKind kind) {
  auto candidate = step_of(request);
  candidate.kind = kind;
  return candidate;
}

/// A policy that knows requests 0, 1, ... with this much work each, each from a different account.
struct PolicyFixture {
  explicit PolicyFixture(const std::vector<double>& seconds, double max_step_seconds = 0) : policy(max_step_seconds) {
    for (std::size_t i = 0; i < seconds.size(); ++i) {
      policy.arrived({.request = i, .account = std::to_string(i), .total_seconds = seconds[i]});
    }
  }
  std::vector<std::size_t> choose(const std::vector<Candidate>& candidates, const StepCurve& curve = no_curve) {
    return policy.choose(candidates, curve);
  }
  FairSojourn policy;
};

TEST(FairSojourn, NoCandidatesNoChoice) {
  EXPECT_THAT(PolicyFixture({}).choose({}), IsEmpty());
}

TEST(FairSojourn, EarliestVirtualFinishLeads) {
  EXPECT_THAT(PolicyFixture({30, 10, 20}).choose({step_of(0), step_of(1), step_of(2)}), ElementsAre(1));
}

TEST(FairSojourn, TiesGoToTheOlderRequest) {
  EXPECT_THAT(PolicyFixture({10, 10}).choose({step_of(1), step_of(0)}), ElementsAre(1));
}

TEST(FairSojourn, LeastAdvancedImageOfARequestGoesFirst) {
  EXPECT_THAT(PolicyFixture({10}).choose({step_of(0, 7), step_of(0, 6), step_of(0, 6)}), ElementsAre(1));
}

TEST(FairSojourn, WithinARequestDecodesThenBeginsThenSteps) {
  EXPECT_THAT(PolicyFixture({10}).choose({step_of(0), work_of(0, WorkKind::kBegin), work_of(0, WorkKind::kFinish)}),
              ElementsAre(2));
  EXPECT_THAT(PolicyFixture({10}).choose({step_of(0), work_of(0, WorkKind::kBegin)}), ElementsAre(1));
}

TEST(FairSojourn, FillsAStepWithEqualKeysByUrgency) {
  std::vector candidates{step_of(0), step_of(1), step_of(2), step_of(3)};
  for (auto& candidate : candidates) candidate.max_batch = 3;
  EXPECT_THAT(PolicyFixture({9, 5, 7, 1}).choose(candidates), ElementsAre(3, 1, 2));
}

TEST(FairSojourn, OnlyEqualKeysOfOneModelShareAStep) {
  std::vector candidates{step_of(0), step_of(1), step_of(2), step_of(3), step_of(4)};
  for (auto& candidate : candidates) candidate.max_batch = 8;
  candidates[1].batch_key = "other";
  candidates[2].model = 1;
  candidates[3].kind = WorkKind::kFinish;
  EXPECT_THAT(PolicyFixture({1, 2, 3, 4, 5}).choose(candidates), ElementsAre(0, 4));
}

TEST(FairSojourn, IsolatedCandidateIsNotBatched) {
  std::vector candidates{step_of(0), step_of(1), step_of(2)};
  for (auto& candidate : candidates) candidate.max_batch = 8;
  candidates[0].isolated = true;
  EXPECT_THAT(PolicyFixture({1, 2, 3}).choose(candidates), ElementsAre(0)) << "as leader";
  candidates[0].isolated = false;
  candidates[1].isolated = true;
  EXPECT_THAT(PolicyFixture({1, 2, 3}).choose(candidates), ElementsAre(0, 2)) << "as a batch mate";
}

TEST(FairSojourn, DecodesAndBeginsAreNotBatched) {
  for (const auto kind : {WorkKind::kBegin, WorkKind::kFinish}) {
    std::vector candidates{work_of(0, kind), work_of(1, kind)};
    for (auto& candidate : candidates) candidate.max_batch = 8;
    EXPECT_THAT(PolicyFixture({1, 1}).choose(candidates), ElementsAre(0));
  }
}

TEST(FairSojourn, FreeBatchCapacityIsFilledByABegin) {
  std::vector candidates{step_of(0), work_of(1, WorkKind::kBegin)};
  EXPECT_THAT(PolicyFixture({1, 9}).choose(candidates), ElementsAre(0)) << "the step is full";
  candidates[0].max_batch = 2;
  EXPECT_THAT(PolicyFixture({1, 9}).choose(candidates), ElementsAre(1));
  candidates[1].model = 1;
  EXPECT_THAT(PolicyFixture({1, 9}).choose(candidates), ElementsAre(0)) << "it belongs to another model";
}

TEST(FairSojourn, BatchIsTrimmedToMaxStepSeconds) {
  std::vector candidates{step_of(0), step_of(1), step_of(2), step_of(3)};
  for (auto& candidate : candidates) candidate.max_batch = 8;
  EXPECT_THAT(PolicyFixture({1, 1, 1, 1}, /*max_step_seconds=*/3.5).choose(candidates, cpu_curve),
              ElementsAre(0, 1, 2));
  EXPECT_THAT(PolicyFixture({1, 1, 1, 1}, 0.5).choose(candidates, cpu_curve), ElementsAre(0))
      << "one image is the minimum";
  EXPECT_EQ(PolicyFixture({1, 1, 1, 1}, 0.5).choose(candidates).size(), 4u) << "nothing was measured yet";
}

// A short leader runs without much longer requests, as long as the cost is covered by what was saved up.
TEST(FairSojourn, CostlyBatchMatesAreDroppedWithinTheWasteBudget) {
  const auto curve = [](std::size_t, std::string_view, int rows) { return std::optional(1 + 0.63 * (rows - 1)); };
  PolicyFixture fixture({4, 100, 100, 100});
  std::vector candidates{step_of(0), step_of(1), step_of(2), step_of(3)};
  for (auto& candidate : candidates) candidate.max_batch = 4;
  EXPECT_EQ(fixture.choose(candidates, curve).size(), 4u) << "nothing saved up";
  fixture.policy.spent(std::vector<DeviceTime>{{1, 10.0}});
  fixture.policy.spent(std::vector<DeviceTime>{{0, 0.0}});
  EXPECT_EQ(fixture.choose(candidates, curve).size(), 1u);
  EXPECT_EQ(fixture.choose(candidates, curve).size(), 4u) << "spent";
  const auto cheap = [](std::size_t, std::string_view, int rows) { return std::optional(1 + 0.1 * (rows - 1)); };
  fixture.policy.spent(std::vector<DeviceTime>{{1, 10.0}});
  EXPECT_EQ(fixture.choose(candidates, cheap).size(), 4u) << "they hardly slow it down";
}

// Drives the policy as the loop does, with work that never ends.
std::vector<int> turns(const std::vector<Claim>& claims, int count) {
  FairSojourn policy(0);
  std::vector<Candidate> candidates;
  for (const auto& claim : claims) {
    policy.arrived(claim);
    candidates.push_back(step_of(claim.request));
  }
  std::vector<int> turns(claims.size());
  for (int i = 0; i < count; ++i) {
    const auto chosen = policy.choose(candidates, no_curve).front();
    ++turns[chosen];
    policy.spent(std::vector<DeviceTime>{{candidates[chosen].request, 1.0}});
  }
  return turns;
}

TEST(FairSojourn, BackgroundGetsAnEighth) {
  const auto of = turns({{.request = 0, .account = "a", .total_seconds = 1000},
                         {.request = 1, .account = "b", .total_seconds = 2000},
                         {.request = 2, .account = "c", .total_seconds = 2000}},
                        80);
  EXPECT_EQ(of[0], 70);
  EXPECT_EQ(of[1], 5);
  EXPECT_EQ(of[2], 5);
}

TEST(FairSojourn, LastStepsOfAShortRequestAreNotInterrupted) {
  EXPECT_EQ(
      turns({{.request = 0, .account = "a", .total_seconds = 6}, {.request = 1, .account = "b", .total_seconds = 99}},
            6)[0],
      6);
}

// The first requests for a model are estimated, perhaps badly; later measurements count for them too.
TEST(FairSojourn, FollowsUpdatedEstimates) {
  PolicyFixture fixture({1e-6, 1e-6});
  fixture.policy.spent(std::vector<DeviceTime>{{0, 1.0}});
  EXPECT_THAT(fixture.choose({step_of(0), step_of(1)}), ElementsAre(0)) << "both are done by their estimates";
  fixture.policy.estimated(0, 101, 100);
  fixture.policy.estimated(1, 10, 10);
  EXPECT_THAT(fixture.choose({step_of(0), step_of(1)}), ElementsAre(1));
}

// A shorter newcomer goes first, but not for ever: a request that has finished in the simulation leads.
TEST(FairSojourn, RequestDoneInVirtualTimeLeads) {
  PolicyFixture fixture({10});
  fixture.policy.arrived({.request = 1, .account = "1", .total_seconds = 8});
  EXPECT_THAT(fixture.choose({step_of(0), step_of(1)}), ElementsAre(1));
  fixture.policy.spent(std::vector<DeviceTime>{{1, 4.0}});  // two of them were request 0's in the simulation
  fixture.policy.left(1);
  fixture.policy.arrived({.request = 2, .account = "2", .total_seconds = 9});
  EXPECT_THAT(fixture.choose({step_of(0), step_of(2)}), ElementsAre(0));
}

TEST(FairSojourn, SharesAndPrioritiesAreWeights) {
  const auto claim = [](std::uint64_t request, const std::string& account, double share, int priority) {
    return Claim{request, account, share, priority, 100};
  };
  const auto first = [](const std::vector<Claim>& claims) {
    FairSojourn policy(0);
    std::vector<Candidate> candidates;
    for (const auto& each : claims) {
      policy.arrived(each);
      candidates.push_back(step_of(each.request));
    }
    return policy.choose(candidates, no_curve).front();
  };
  EXPECT_EQ(first({claim(0, "a", 1, 0), claim(1, "b", 2, 0)}), 1u);
  EXPECT_EQ(first({claim(0, "a", 1, 0), claim(1, "b", 1, 1)}), 1u);
  EXPECT_EQ(first({claim(0, "a", 1, 0), claim(1, "a", 1, 1)}), 1u) << "within an account as well";
  EXPECT_EQ(first({claim(0, "a", 1, -1), claim(1, "a", 1, 0)}), 1u);
  EXPECT_EQ(first({claim(0, "a", 1, 0), claim(1, "a", 1, 0), claim(2, "b", 1, 0)}), 2u)
      << "an account with one request gives it everything";
}

TEST(FairSojourn, ForgetsDepartedRequests) {
  PolicyFixture fixture({1, 10});
  fixture.policy.left(0);
  fixture.policy.left(0);
  fixture.policy.spent(std::vector<DeviceTime>{{0, 1.0}});
  fixture.policy.estimated(0, 1, 1);
  EXPECT_THAT(fixture.choose({step_of(1)}), ElementsAre(0));
}

TEST(BatchLimit, HalvesAndNeverFallsBelowOne) {
  BatchLimit limit(8);
  EXPECT_EQ(limit.current(), 8);
  limit.record_out_of_memory(8);
  EXPECT_EQ(limit.current(), 4);
  limit.record_out_of_memory(3);
  EXPECT_EQ(limit.current(), 1);
  EXPECT_EQ(BatchLimit(0).current(), 1);
}

TEST(BatchLimit, GrowsBackAfterManyFullStepsOnly) {
  BatchLimit limit(8);
  limit.record_out_of_memory(5);
  ASSERT_EQ(limit.current(), 2);
  for (int i = 0; i < 1000; ++i) limit.record_success(1);
  EXPECT_EQ(limit.current(), 2) << "smaller steps do not show that larger ones would succeed";
  int steps = 0;
  for (; limit.current() < 8 && steps < 10000; ++steps) limit.record_success(limit.current());
  EXPECT_EQ(limit.current(), 8);
  EXPECT_GE(steps, 100);
  limit.record_success(8);
  EXPECT_EQ(limit.current(), 8);
}

}  // namespace
}  // namespace easel
