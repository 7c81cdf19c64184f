#include "engine/residency/model_entry.h"

#include <utility>

namespace easel {

using presence::Absent;
using presence::Draining;
using presence::DrainReason;
using presence::Failed;
using presence::Loading;
using presence::Resident;
using presence::Wanted;

Demand demand_for(const DemandByModel& demand, ModelId model) {
  const auto found = demand.find(model);
  return found == demand.end() ? Demand{} : found->second;
}

const Resident* ModelEntry::resident() const {
  if (const auto* draining = as<Draining>()) return &draining->resident;
  return as<Resident>();
}

std::optional<Failure> ModelEntry::failure(TimePoint now, std::chrono::milliseconds load_retry) const {
  const auto* failed = as<Failed>();
  return failed && (failed->fresh || now < failed->at + load_retry) ? std::optional(failed->why) : std::nullopt;
}

void ModelEntry::update_began() {
  if (auto* failed = std::get_if<Failed>(&presence)) failed->fresh = false;
}

void ModelEntry::load_requested(TimePoint now) {
  if (as<Absent>()) {
    presence = Wanted{.since = now, .requested = true};
  } else if (auto* failed = std::get_if<Failed>(&presence)) {
    presence = Wanted{.since = now, .requested = true, .failed_before = std::move(*failed)};
  } else if (auto* wanted = std::get_if<Wanted>(&presence)) {
    wanted->requested = true;
  } else if (auto* loading = std::get_if<Loading>(&presence)) {
    loading->unload_when_loaded = false;
    loading->requested = true;
  } else if (auto* draining = std::get_if<Draining>(&presence)) {
    if (draining->reason == DrainReason::kRoom) {
      draining->load_again = true;  // its memory is promised to another model
    } else {
      presence = Resident(std::move(draining->resident));
    }
  }
}

void ModelEntry::unload_requested() {
  if (auto* wanted = std::get_if<Wanted>(&presence)) {
    wanted->requested = false;  // waiting requests may still want it
  } else if (auto* loading = std::get_if<Loading>(&presence)) {
    loading->unload_when_loaded = true;
  } else if (auto* resident = std::get_if<Resident>(&presence)) {
    presence = Draining{.resident = Resident(std::move(*resident)), .reason = DrainReason::kUnloadRequested};
  } else if (auto* draining = std::get_if<Draining>(&presence)) {
    draining->reason = DrainReason::kUnloadRequested;
    draining->load_again = false;
  }
}

void ModelEntry::demand_changed(const Demand& demand, TimePoint now, std::chrono::milliseconds load_retry) {
  if (as<Absent>()) {
    if (demand.waiting > 0) presence = Wanted{.since = now, .requested = false};
  } else if (auto* failed = std::get_if<Failed>(&presence)) {
    if (demand.waiting > 0 && !failure(now, load_retry)) {
      presence = Wanted{.since = now, .requested = false, .failed_before = std::move(*failed)};
    }
  } else if (auto* wanted = std::get_if<Wanted>(&presence)) {
    if (wanted->requested || demand.waiting > 0) return;
    presence = wanted->failed_before ? Presence(Failed(std::move(*wanted->failed_before))) : Presence(Absent{});
  } else if (demand.running > 0) {
    if (auto* resident = std::get_if<Resident>(&presence)) resident->served = true;
    if (auto* draining = std::get_if<Draining>(&presence)) draining->resident.served = true;
  }
}

void ModelEntry::load_started(TimePoint now) {
  if (const auto* wanted = as<Wanted>()) presence = Loading{.since = now, .requested = wanted->requested};
}

void ModelEntry::load_succeeded(std::unique_ptr<ResidentModel> model, TimePoint now) {
  const auto* loading = as<Loading>();
  if (!loading) return;
  load_seconds = seconds_between(loading->since, now);
  used_at = now;
  Resident resident{.model = std::move(model), .ready_at = now};
  if (loading->unload_when_loaded) {
    presence = Draining{.resident = std::move(resident), .reason = DrainReason::kUnloadRequested};
  } else {
    presence = std::move(resident);
  }
}

void ModelEntry::load_failed(Failure why, TimePoint now) {
  if (const auto* loading = as<Loading>()) load_seconds = seconds_between(loading->since, now);
  presence = Failed{.at = now, .why = std::move(why)};
}

void ModelEntry::load_found_no_room() {
  const auto* loading = as<Loading>();
  if (loading) presence = Wanted{.since = loading->since, .requested = loading->requested};
}

void ModelEntry::room_needed() {
  if (auto* resident = std::get_if<Resident>(&presence)) {
    presence = Draining{.resident = Resident(std::move(*resident)), .reason = DrainReason::kRoom};
  }
}

void ModelEntry::room_not_needed() {
  auto* draining = std::get_if<Draining>(&presence);
  if (draining && draining->reason == DrainReason::kRoom) presence = Resident(std::move(draining->resident));
}

void ModelEntry::unloaded(TimePoint now) {
  const auto* draining = as<Draining>();
  presence = draining && draining->load_again ? Presence(Wanted{.since = now, .requested = true}) : Presence(Absent{});
}

}  // namespace easel
