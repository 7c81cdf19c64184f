// One model on one device, as the device's loop sees it: the state it is in, and the events that change the state.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <variant>

#include "easel/pipeline.h"
#include "engine/device/batch_limit.h"
#include "engine/device/clock.h"
#include "engine/device/failure.h"
#include "engine/device/model_ids.h"

namespace easel {

/// A model in memory.
struct ResidentModel {
  ModelId id;
  std::unique_ptr<Pipeline> pipeline;
  BatchLimit batch_limit;
};

/// How many requests there are for a model on the device.
struct Demand {
  std::size_t waiting = 0;  ///< not begun
  std::size_t running = 0;  ///< begun, and not ended
  bool any() const { return waiting + running > 0; }
};
/// A model that is not in the map has no requests.
using DemandByModel = std::map<ModelId, Demand>;
Demand demand_for(const DemandByModel& demand, ModelId model);

/// The states that a model can be in.
namespace presence {

/// Not in memory, and not needed.
struct Absent {};
/// Not in memory: the latest attempt to load it failed.
struct Failed {
  TimePoint at;
  Failure why;
  bool fresh = true;  ///< since the latest update: the waiting requests receive it, however short the retry delay is
};
/// To be loaded as soon as it is its turn and there is room.
struct Wanted {
  TimePoint since;
  bool requested;                            ///< by Engine::load or at the start; otherwise only by waiting requests
  std::optional<Failed> failed_before = {};  ///< the state it returns to when it is not wanted any more
};
/// Being loaded on the loader's thread. Counts as held memory.
struct Loading {
  TimePoint since;
  bool requested = false;           ///< as Wanted::requested
  bool unload_when_loaded = false;  ///< Engine::unload was called meanwhile
};
/// In memory; requests may be begun with it.
struct Resident {
  std::unique_ptr<ResidentModel> model;  ///< its address does not change until it is unloaded
  TimePoint ready_at;
  bool served = false;  ///< a request has been begun with it since it was loaded
};
enum class DrainReason {
  kUnloadRequested,  ///< Engine::unload
  kRoom,             ///< another model needs its memory
};
/// In memory, but nothing more is begun with it; it is unloaded when the requests that run on it have ended.
struct Draining {
  Resident resident;
  DrainReason reason;
  bool load_again = false;  ///< Engine::load was called meanwhile
};

}  // namespace presence

using Presence = std::variant<presence::Absent, presence::Wanted, presence::Loading, presence::Resident,
                              presence::Draining, presence::Failed>;

/// A state, and one function for each event. An event that means nothing in the present state changes nothing.
/// Not thread-safe.
struct ModelEntry {
  std::int64_t bytes = 0;  ///< memory that it takes
  bool pinned = false;     ///< never evicted, and never unloaded for being idle
  Presence presence{};
  TimePoint used_at{};      ///< latest use, or when it was loaded
  double load_seconds = 0;  ///< of the latest load on this device; 0 before the first

  template <class State>
  const State* as() const {
    return std::get_if<State>(&presence);
  }
  /// What is in memory, draining or not; null if it is not in memory.
  const presence::Resident* resident() const;
  /// Why it cannot be loaded now; none once the time to try again has come.
  std::optional<Failure> failure(TimePoint now, std::chrono::milliseconds load_retry) const;

  // Events.
  void update_began();
  void load_requested(TimePoint now);
  void unload_requested();
  void demand_changed(const Demand& demand, TimePoint now, std::chrono::milliseconds load_retry);
  void load_started(TimePoint now);
  void load_succeeded(std::unique_ptr<ResidentModel> model, TimePoint now);
  void load_failed(Failure why, TimePoint now);
  /// Memory ran out while it was loaded, and another model has left memory since: it is wanted as before.
  void load_found_no_room();
  void room_needed();
  void room_not_needed();
  void unloaded(TimePoint now);
};

/// By model, in order of registration.
using ModelEntries = std::map<ModelId, ModelEntry>;

}  // namespace easel
