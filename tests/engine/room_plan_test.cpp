// Which models share a device's memory, decided from values: no threads, no clock, no pipeline.
#include "engine/residency/room_plan.h"

#include <gmock/gmock.h>

#include <cmath>
#include <utility>

#include "engine/residency/model_entry.h"

namespace easel {
namespace {

using namespace presence;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Optional;

constexpr std::int64_t kBytes = 100;
const TimePoint kStart{};

TimePoint at(int second) {
  return kStart + seconds(second);
}

ModelEntry entry_in(Presence presence, double load_seconds = 10) {
  ModelEntry entry;
  entry.bytes = kBytes;
  entry.presence = std::move(presence);
  entry.load_seconds = load_seconds;
  return entry;
}
ModelEntry wanted_since(int second) {
  return entry_in(Wanted{.since = at(second), .requested = false});
}
ModelEntry resident_since(int second, bool served = true) {
  auto entry = entry_in(Resident{.model = nullptr, .ready_at = at(second), .served = served});
  entry.used_at = at(second);
  return entry;
}
ModelEntry draining(DrainReason reason) {
  return entry_in(Draining{.resident = {.model = nullptr, .ready_at = kStart, .served = true}, .reason = reason});
}
ModelEntry pinned(ModelEntry entry) {
  entry.pinned = true;
  return entry;
}

template <class... Entries>
ModelEntries entries(Entries... each) {
  ModelEntries all;
  (all.emplace(all.size(), std::move(each)), ...);
  return all;
}

RoomRules room_for(int models) {
  return {.memory_budget = models * kBytes};
}

constexpr Demand kWaits{.waiting = 1}, kRuns{.running = 1};

TEST(RoomPlan, NothingWantedNothingHappens) {
  const auto result = plan(entries(entry_in(Absent{}), resident_since(0)), {}, room_for(1), at(1000));
  EXPECT_FALSE(result.asks_for_action());
  EXPECT_EQ(result.next_change, std::nullopt);
}

TEST(RoomPlan, LoadsTheModelWantedForLongestOneAtATime) {
  auto models = entries(wanted_since(5), wanted_since(3), wanted_since(3));
  EXPECT_THAT(plan(models, {}, {}, at(6)).load, Optional(1u)) << "of two equal ones, the one registered first";
  models[1].load_started(at(6));
  EXPECT_FALSE(plan(models, {}, {}, at(7)).asks_for_action());
}

TEST(RoomPlan, IdleModelsMakeRoomLeastRecentlyUsedFirst) {
  auto models = entries(resident_since(20), resident_since(10), wanted_since(30));
  auto result = plan(models, {}, room_for(2), at(30));
  EXPECT_THAT(result.unload, ElementsAre(RoomPlan::Unload{1, true}));
  EXPECT_THAT(result.load, Optional(2u));
  models[2].bytes = 2 * kBytes;
  result = plan(models, {}, room_for(2), at(30));
  EXPECT_THAT(result.unload, ElementsAre(RoomPlan::Unload{1, true}, RoomPlan::Unload{0, true}));
  EXPECT_THAT(result.load, Optional(2u));
}

TEST(RoomPlan, PinnedModelsAreNeverEvicted) {
  const auto result =
      plan(entries(pinned(resident_since(0)), resident_since(10), wanted_since(30)), {}, room_for(2), at(1000));
  EXPECT_THAT(result.unload, ElementsAre(RoomPlan::Unload{1, true}));
}

// Load times are 10 s, so a turn in memory and the wait for one are 20 s.
TEST(RoomPlan, ModelInDemandIsEvictedAfterItsTurnAndTheOthersWait) {
  const DemandByModel demand{{0, kRuns}, {1, kWaits}};
  const auto models = entries(resident_since(0), wanted_since(15));
  const auto early = plan(models, demand, room_for(1), at(30));
  EXPECT_FALSE(early.asks_for_action());
  EXPECT_EQ(early.next_change, at(35)) << "15 + 2 * 10";
  const auto late = plan(models, demand, room_for(1), at(35));
  EXPECT_THAT(late.drain, ElementsAre(0u)) << "a request runs on it";
  EXPECT_EQ(late.load, std::nullopt);
}

TEST(RoomPlan, ModelInDemandIsProtectedUntilItHasHadItsTurn) {
  const DemandByModel demand{{0, kWaits}, {1, kWaits}};
  auto models = entries(resident_since(30), wanted_since(15));
  const auto early = plan(models, demand, room_for(1), at(49));
  EXPECT_FALSE(early.asks_for_action());
  EXPECT_EQ(early.next_change, at(50)) << "30 + 2 * 10";
  const auto late = plan(models, demand, room_for(1), at(50));
  EXPECT_THAT(late.unload, ElementsAre(RoomPlan::Unload{0, true})) << "no request runs on it";
  EXPECT_THAT(late.load, Optional(1u));
  models[0] = resident_since(30, /*served=*/false);
  EXPECT_FALSE(plan(models, demand, room_for(1), at(1000)).asks_for_action()) << "it has not served a request";
}

TEST(RoomPlan, DrainingModelLeavesWhenNothingRunsOnIt) {
  for (const auto reason : {DrainReason::kRoom, DrainReason::kUnloadRequested}) {
    const auto models = entries(draining(reason), wanted_since(0));
    EXPECT_FALSE(plan(models, {{0, kRuns}}, room_for(1), at(1000)).asks_for_action());
    const auto result = plan(models, {{0, kWaits}}, room_for(1), at(1000));
    EXPECT_THAT(result.unload, ElementsAre(RoomPlan::Unload{0, reason == DrainReason::kRoom}));
  }
}

TEST(RoomPlan, DrainingEndsWhenNobodyNeedsTheRoom) {
  const DemandByModel demand{{0, kRuns}};
  EXPECT_THAT(plan(entries(draining(DrainReason::kRoom), entry_in(Absent{})), demand, room_for(1), at(0)).keep,
              ElementsAre(0u));
  EXPECT_THAT(plan(entries(draining(DrainReason::kUnloadRequested)), demand, room_for(1), at(0)).keep, IsEmpty());
  const auto loading = entries(draining(DrainReason::kRoom), entry_in(Loading{.since = at(0)}));
  EXPECT_THAT(plan(loading, demand, room_for(1), at(0)).keep, IsEmpty());
}

TEST(RoomPlan, ModelThatCanNeverFitIsRefused) {
  auto models = entries(pinned(resident_since(0)), wanted_since(0));
  const auto result = plan(models, {}, {.memory_budget = 2 * kBytes - 1}, at(0));
  ASSERT_TRUE(result.refuse.has_value());
  EXPECT_EQ(result.refuse->model, 1u);
  EXPECT_EQ(result.refuse->why.code, ErrorCode::kResourceExhausted);
  EXPECT_THAT(result.refuse->why.message, ::testing::HasSubstr("pinned models take 100"));
  EXPECT_EQ(result.load, std::nullopt);
}

TEST(RoomPlan, IdleModelLeavesAfterKeepAlive) {
  const RoomRules rules{.keep_alive = seconds(60)};
  const auto models = entries(resident_since(0), pinned(resident_since(0)), resident_since(0));
  const DemandByModel demand{{2, kWaits}};
  const auto early = plan(models, demand, rules, at(59));
  EXPECT_FALSE(early.asks_for_action());
  EXPECT_EQ(early.next_change, at(60));
  EXPECT_THAT(plan(models, demand, rules, at(60)).unload, ElementsAre(RoomPlan::Unload{0, false}));
}

TEST(RoomPlan, EvictionForARequesterSparesItAndModelsInUse) {
  const auto models = entries(resident_since(0), resident_since(1), resident_since(2), pinned(resident_since(0)));
  EXPECT_THAT(model_to_evict_for(0, models, {{1, kRuns}}), Optional(2u));
  EXPECT_EQ(model_to_evict_for(0, models, {{1, kRuns}, {2, kRuns}}), std::nullopt);
}

TEST(RoomPlan, TimeUntilReadyCountsTheLoadsThatComeFirst) {
  LoadTimes times;
  for (const ModelId model : {0, 1, 2}) times.add(model, kBytes, 10);
  auto models = entries(resident_since(0), entry_in(Loading{.since = at(0)}), wanted_since(0));
  const auto ready_in = [&](ModelId model, const DemandByModel& demand, int budget) {
    return seconds_until_ready(model, models, demand, room_for(budget), times, at(4));
  };
  EXPECT_EQ(ready_in(0, {}, 3), 0);
  EXPECT_EQ(ready_in(1, {}, 3), 6) << "4 of 10 seconds have passed";
  EXPECT_EQ(ready_in(2, {}, 3), 6 + 10);
  EXPECT_EQ(ready_in(2, {{0, kRuns}}, 2), 6 + 3 * 10) << "it has to wait for its turn first";
  models[2].load_failed({}, at(4));
  EXPECT_TRUE(std::isinf(ready_in(2, {}, 3)));
}

TEST(ModelEntry, WantedByRequestsUntilTheyAreGone) {
  auto entry = entry_in(Absent{});
  entry.demand_changed(kWaits, at(1), seconds(30));
  ASSERT_TRUE(entry.as<Wanted>());
  EXPECT_EQ(entry.as<Wanted>()->since, at(1));
  entry.demand_changed({}, at(2), seconds(30));
  EXPECT_TRUE(entry.as<Absent>());
  entry.load_requested(at(3));
  entry.demand_changed({}, at(4), seconds(30));
  ASSERT_TRUE(entry.as<Wanted>()) << "a request by name does not need waiting requests";
  entry.unload_requested();
  entry.demand_changed({}, at(5), seconds(30));
  EXPECT_TRUE(entry.as<Absent>());
}

TEST(ModelEntry, FailureHoldsUntilTheRetryDelayIsOver) {
  auto entry = entry_in(Wanted{.since = at(0), .requested = true});
  entry.load_started(at(0));
  entry.load_failed({ErrorCode::kCorruptData, "half a file", {}}, at(5));
  EXPECT_EQ(entry.load_seconds, 5);
  EXPECT_TRUE(entry.failure(at(100), seconds(0)).has_value()) << "the waiting requests have not received it yet";
  entry.update_began();
  EXPECT_FALSE(entry.failure(at(5), seconds(0)).has_value());
  entry.demand_changed(kWaits, at(34), seconds(30));
  EXPECT_TRUE(entry.as<Failed>());
  entry.demand_changed(kWaits, at(35), seconds(30));
  ASSERT_TRUE(entry.as<Wanted>());
  entry.demand_changed({}, at(36), seconds(30));
  ASSERT_TRUE(entry.as<Failed>()) << "it was not tried again";
  EXPECT_EQ(entry.as<Failed>()->why.message, "half a file");
  entry.load_requested(at(37));
  EXPECT_TRUE(entry.as<Wanted>());
}

TEST(ModelEntry, UnloadDuringALoadTakesEffectAfterIt) {
  for (const bool asked_again : {false, true}) {
    auto entry = entry_in(Loading{.since = at(0)});
    entry.unload_requested();
    if (asked_again) entry.load_requested(at(1));
    entry.load_succeeded(nullptr, at(2));
    EXPECT_EQ(entry.as<Resident>() != nullptr, asked_again);
    EXPECT_EQ(entry.as<Draining>() != nullptr, !asked_again);
  }
}

TEST(ModelEntry, LoadWhileDrainingDependsOnTheReason) {
  auto asked = draining(DrainReason::kUnloadRequested);
  asked.load_requested(at(1));
  EXPECT_TRUE(asked.as<Resident>()) << "it simply stays";
  auto evicted = draining(DrainReason::kRoom);
  evicted.load_requested(at(1));
  ASSERT_TRUE(evicted.as<Draining>()) << "its memory is promised to another model";
  evicted.unloaded(at(2));
  ASSERT_TRUE(evicted.as<Wanted>());
  EXPECT_EQ(evicted.as<Wanted>()->since, at(2));
}

TEST(ModelEntry, EventsWithoutAMeaningChangeNothing) {
  auto resident = resident_since(0);
  resident.load_requested(at(1));
  resident.load_started(at(1));
  resident.room_not_needed();
  EXPECT_TRUE(resident.as<Resident>());
  auto absent = entry_in(Absent{});
  absent.unload_requested();
  absent.room_needed();
  absent.load_started(at(1));
  absent.load_succeeded(nullptr, at(1));
  EXPECT_TRUE(absent.as<Absent>());
}

TEST(RoomPlan, ModelBeyondAnEstimatedBudgetHasTheMemoryToItself) {
  RoomRules rules{.memory_budget = kBytes / 2, .budget_is_estimated = true};
  EXPECT_THAT(plan(entries(wanted_since(0)), {}, rules, at(1)).load, Optional(0u));
  const auto beside = plan(entries(wanted_since(0), resident_since(0)), {}, rules, at(1));
  EXPECT_THAT(beside.unload, ElementsAre(RoomPlan::Unload{1, /*evicted=*/true}));
  EXPECT_THAT(beside.load, Optional(0u));
  EXPECT_FALSE(plan(entries(wanted_since(0), resident_since(0)), {{1, kRuns}}, rules, at(1)).load);
  const auto with_pinned = plan(entries(wanted_since(0), pinned(resident_since(0))), {}, rules, at(1));
  ASSERT_TRUE(with_pinned.refuse) << "the pinned model never leaves";
  EXPECT_EQ(with_pinned.refuse->why.code, ErrorCode::kResourceExhausted);
  rules.budget_is_estimated = false;
  EXPECT_TRUE(plan(entries(wanted_since(0)), {}, rules, at(1)).refuse) << "an explicit budget is a promise";
}

}  // namespace
}  // namespace easel
