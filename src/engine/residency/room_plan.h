// Which models share a device's memory, and when that changes. Pure functions of values: no threads, no clock.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "engine/device/clock.h"
#include "engine/device/failure.h"
#include "engine/device/load_times.h"
#include "engine/residency/model_entry.h"

namespace easel {

struct RoomRules {
  std::int64_t memory_budget = 0;    ///< bytes; 0: no limit
  bool budget_is_estimated = false;  ///< then a model that needs more may have the memory to itself
  std::optional<std::chrono::milliseconds> keep_alive{};  ///< an idle model is unloaded after this time; none: never
  std::chrono::milliseconds load_retry{30000};            ///< from a failed load until it may be tried again
};

/// What should happen now. The lists are empty when nothing should. After it has been carried out, a new plan may ask
/// for more: a model that has left memory may be wanted again.
struct RoomPlan {
  struct Unload {
    ModelId model;
    bool evicted;  ///< to make room for another; else it was asked for, or the model was idle for too long
    bool operator==(const Unload&) const = default;
  };
  struct Refuse {
    ModelId model;
    Failure why;
  };
  std::vector<Unload> unload{};    ///< no request runs on these
  std::vector<ModelId> keep{};     ///< they drain for room that no model needs any more
  std::optional<Refuse> refuse{};  ///< wanted, but it can never fit
  std::vector<ModelId> drain{};    ///< begin nothing more with these, since another model needs their room
  std::optional<ModelId> load{};   ///< wanted, and after `unload` there is room for it
  /// The next time at which the plan becomes another although no event happens; none: never.
  std::optional<TimePoint> next_change{};

  bool asks_for_action() const { return !unload.empty() || !keep.empty() || refuse || !drain.empty() || load; }
};

/// One model is loaded at a time, the one that has been wanted for longest.
///
/// A model without requests makes room at once, the least recently used first. Models in demand take turns: a wanted
/// model may evict a model in demand once it has waited twice its own load time, and the other model has been resident
/// for twice its load time and has served at least one request. So no model starves, however many share the memory, and
/// most of the time is spent on generating rather than on loading. Pinned models are never evicted.
RoomPlan plan(const ModelEntries& entries, const DemandByModel& demand, const RoomRules& rules, TimePoint now);

/// The least recently used model on which no request runs, other than `requester`; none if there is none.
std::optional<ModelId> model_to_evict_for(ModelId requester, const ModelEntries& entries, const DemandByModel& demand);

/// Seconds until requests could be begun with a model, from measured load times. Infinite while its latest load counts
/// as failed, or where it can never fit.
double seconds_until_ready(ModelId model, const ModelEntries& entries, const DemandByModel& demand,
                           const RoomRules& rules, const LoadTimes& load_times, TimePoint now);

}  // namespace easel
