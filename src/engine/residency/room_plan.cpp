#include "engine/residency/room_plan.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "core/text.h"

namespace easel {

namespace {

// A turn in memory, and the wait for one, are this many times as long as loading the model takes.
constexpr double kTurnFactor = 2;

TimePoint turn_after(TimePoint start, const ModelEntry& entry) {
  const std::chrono::duration<double> turn(kTurnFactor * entry.load_seconds);
  return start + std::chrono::ceil<TimePoint::duration>(turn);
}

// When a wanted model may evict models in demand.
TimePoint may_evict_at(const ModelEntry& entry) {
  return turn_after(entry.as<presence::Wanted>()->since, entry);
}

// Until when a resident model in demand is protected from eviction.
TimePoint protected_until(const ModelEntry& entry) {
  return turn_after(entry.resident()->ready_at, entry);
}

// Whether a resident model in demand may be evicted. Without this, several models that wait for the same room would be
// loaded all the time and never used.
bool evictable(const ModelEntry& entry, TimePoint now) {
  return entry.as<presence::Draining>() || (entry.resident()->served && now >= protected_until(entry));
}

std::optional<TimePoint> idle_unload_at(const ModelEntry& entry, const Demand& demand, const RoomRules& rules) {
  if (!entry.resident() || !rules.keep_alive || entry.pinned || demand.any()) return std::nullopt;
  return entry.used_at + *rules.keep_alive;
}

bool any_loading(const ModelEntries& entries) {
  return std::any_of(entries.begin(), entries.end(),
                     [](const auto& each) { return each.second.template as<presence::Loading>() != nullptr; });
}

std::optional<ModelId> wanted_longest(const ModelEntries& entries) {
  const presence::Wanted* first = nullptr;
  std::optional<ModelId> model;
  for (const auto& [id, entry] : entries) {
    const auto* wanted = entry.as<presence::Wanted>();
    if (!wanted || (first && wanted->since >= first->since)) continue;
    first = wanted;
    model = id;
  }
  return model;
}

std::vector<ModelId> least_recently_used_first(const ModelEntries& entries) {
  std::vector<ModelId> order;
  for (const auto& [id, entry] : entries) {
    if (entry.resident() && !entry.pinned) order.push_back(id);
  }
  std::sort(order.begin(), order.end(), [&](ModelId a, ModelId b) {
    return std::pair(entries.at(a).used_at, a) < std::pair(entries.at(b).used_at, b);
  });
  return order;
}

std::int64_t bytes_held(const ModelEntries& entries) {
  std::int64_t bytes = 0;
  for (const auto& [id, entry] : entries) bytes += entry.resident() ? entry.bytes : 0;
  return bytes;
}

// Whether models of so many bytes may be in memory together. `others`: all but one of them.
bool within_budget(std::int64_t others, std::int64_t one, const RoomRules& rules) {
  if (rules.memory_budget == 0 || (rules.budget_is_estimated && others == 0)) return true;
  return others + one <= rules.memory_budget;
}

// None where the model fits into memory with the pinned models.
std::optional<Failure> never_fits(ModelId model, const ModelEntries& entries, const RoomRules& rules) {
  std::int64_t pinned = 0;
  for (const auto& [id, entry] : entries) {
    if (entry.pinned && id != model) pinned += entry.bytes;
  }
  const auto& entry = entries.at(model);
  if (within_budget(entry.pinned ? 0 : pinned, entry.bytes, rules)) return std::nullopt;
  return Failure{ErrorCode::kResourceExhausted,
                 concat("it needs ", entry.bytes, " bytes; the memory budget is ", rules.memory_budget,
                        " bytes, of which pinned models take ", pinned),
                 {}};
}

// Draining models on which nothing runs any more, and models that have been idle for too long.
void plan_departures(const ModelEntries& entries, const DemandByModel& demand, const RoomRules& rules, TimePoint now,
                     RoomPlan& plan) {
  for (const auto& [id, entry] : entries) {
    const auto requests = demand_for(demand, id);
    if (!entry.resident() || requests.running > 0) continue;
    if (const auto* draining = entry.as<presence::Draining>()) {
      plan.unload.push_back({id, draining->reason == presence::DrainReason::kRoom});
    } else if (const auto idle = idle_unload_at(entry, requests, rules); idle && now >= *idle) {
      plan.unload.push_back({id, /*evicted=*/false});
    }
  }
}

// Loads `model` if there is room for it. Otherwise makes room: other models are unloaded or drain, or a later plan can
// evict them.
void plan_room_for(ModelId model, const ModelEntries& entries, const DemandByModel& demand, const RoomRules& rules,
                   TimePoint now, RoomPlan& plan) {
  const auto needed = entries.at(model).bytes;
  auto held = bytes_held(entries);  // when everything that drains has left
  auto held_by_running = held;      // when this plan has been carried out
  const auto fits = [&](std::int64_t bytes) { return within_budget(bytes, needed, rules); };
  const auto order = least_recently_used_first(entries);
  for (const auto id : order) {
    if (fits(held) || demand_for(demand, id).any()) continue;
    plan.unload.push_back({id, /*evicted=*/true});
    held_by_running = held -= entries.at(id).bytes;
  }
  if (!fits(held) && now >= may_evict_at(entries.at(model))) {
    for (const auto id : order) {
      const auto requests = demand_for(demand, id);
      if (fits(held) || !requests.any() || !evictable(entries.at(id), now)) continue;
      held -= entries.at(id).bytes;
      if (requests.running > 0) {
        if (!entries.at(id).as<presence::Draining>()) plan.drain.push_back(id);
      } else {
        plan.unload.push_back({id, /*evicted=*/true});
        held_by_running -= entries.at(id).bytes;
      }
    }
  }
  if (fits(held_by_running)) plan.load = model;
}

std::optional<TimePoint> next_change(const ModelEntries& entries, const DemandByModel& demand, const RoomRules& rules,
                                     TimePoint now) {
  std::optional<TimePoint> next;
  const auto at = [&next](TimePoint time) { next = next ? std::min(*next, time) : time; };
  for (const auto& [id, entry] : entries) {
    const auto requests = demand_for(demand, id);
    if (entry.resident() && requests.any() && protected_until(entry) > now) at(protected_until(entry));
    if (const auto idle = idle_unload_at(entry, requests, rules)) at(*idle);
    if (entry.as<presence::Wanted>() && may_evict_at(entry) > now) at(may_evict_at(entry));
  }
  return next;
}

bool fits_with_models_in_demand(ModelId model, const ModelEntries& entries, const DemandByModel& demand,
                                const RoomRules& rules) {
  std::int64_t others = 0;
  for (const auto& [id, entry] : entries) {
    const bool stays = entry.resident() && (entry.pinned || demand_for(demand, id).any());
    if (id != model && (entry.as<presence::Loading>() || stays)) others += entry.bytes;
  }
  return within_budget(others, entries.at(model).bytes, rules);
}

}  // namespace

RoomPlan plan(const ModelEntries& entries, const DemandByModel& demand, const RoomRules& rules, TimePoint now) {
  RoomPlan plan;
  plan.next_change = next_change(entries, demand, rules, now);
  plan_departures(entries, demand, rules, now, plan);
  if (!plan.unload.empty()) return plan;
  const auto wanted = wanted_longest(entries);
  if (any_loading(entries)) return plan;
  if (!wanted) {
    for (const auto& [id, entry] : entries) {
      const auto* draining = entry.as<presence::Draining>();
      if (draining && draining->reason == presence::DrainReason::kRoom) plan.keep.push_back(id);
    }
  } else if (auto why = never_fits(*wanted, entries, rules)) {
    plan.refuse = {*wanted, std::move(*why)};
  } else {
    plan_room_for(*wanted, entries, demand, rules, now, plan);
  }
  return plan;
}

std::optional<ModelId> model_to_evict_for(ModelId requester, const ModelEntries& entries, const DemandByModel& demand) {
  for (const auto id : least_recently_used_first(entries)) {
    if (id != requester && demand_for(demand, id).running == 0) return id;
  }
  return std::nullopt;
}

double seconds_until_ready(ModelId model, const ModelEntries& entries, const DemandByModel& demand,
                           const RoomRules& rules, const LoadTimes& load_times, TimePoint now) {
  const auto& entry = entries.at(model);
  if (entry.as<presence::Resident>()) return 0;
  if (entry.failure(now, rules.load_retry) || never_fits(model, entries, rules)) {
    return std::numeric_limits<double>::infinity();
  }
  const auto* own = entry.as<presence::Wanted>();
  double seconds = load_times.expected(model, entry.bytes);
  if (!fits_with_models_in_demand(model, entries, demand, rules)) seconds += kTurnFactor * seconds;
  for (const auto& [id, other] : entries) {
    const auto expected = load_times.expected(id, other.bytes);
    if (const auto* loading = other.as<presence::Loading>()) {
      const auto left = std::max(0.0, expected - seconds_between(loading->since, now));
      if (id == model) return left;
      seconds += left;
    } else if (const auto* wanted = other.as<presence::Wanted>(); wanted && id != model) {
      if (own && wanted->since <= own->since) seconds += expected;  // the other one is loaded first
    }
  }
  return seconds;
}

}  // namespace easel
