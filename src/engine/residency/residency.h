// Which of the served models are in the memory of a device.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/mutex.h"
#include "easel/engine.h"
#include "engine/device/clock.h"
#include "engine/device/failure.h"
#include "engine/device/load_times.h"
#include "engine/device/model_ids.h"
#include "engine/residency/model_entry.h"
#include "engine/residency/residency_mailbox.h"
#include "engine/residency/room_plan.h"

namespace easel {

/// In the same order.
std::vector<ModelDescription> descriptions_of(const std::vector<ServedModel>& models);

/// Loads models into the memory of one device, one at a time, and unloads them, within the memory budget: carries out
/// what plan() of room_plan.h decides.
///
/// Used by the thread of the device's loop, apart from the methods that say otherwise. Pipelines are used and destroyed
/// on that thread; a load runs on the loader's thread and returns by the mailbox.
class Residency {
 public:
  struct Options {
    std::string device = "cpu";      ///< as loaders and observers know it
    bool load_first_model = true;    ///< load the first model at the start, pinned or not
    std::int64_t memory_budget = 0;  ///< as RoomRules has it, like the next three
    bool budget_is_estimated = false;
    std::optional<std::chrono::milliseconds> keep_alive{};
    std::chrono::milliseconds load_retry{30000};
  };
  struct Dependencies {
    std::function<void(std::function<void()>)> run_on_loader;  ///< runs a load on another thread
    std::function<void()> wake;                                ///< a load has ended; called by any thread
    Clock now = std::chrono::steady_clock::now;
    std::shared_ptr<EngineObserver> observer = nullptr;                     ///< may be null
    std::shared_ptr<LoadTimes> load_times = std::make_shared<LoadTimes>();  ///< shared by all devices
  };
  /// @throws Error(kInvalidArgument)  no model, or two with the same name
  Residency(std::vector<ServedModel> models, Options options, Dependencies dependencies);

  // Thread-safe.

  const std::string& device() const { return options_.device; }
  /// @throws Error(kNotFound)  no model of this name
  ModelId id_of(const std::string& name) const { return ids_.find(name); }
  std::optional<ModelId> find_id(const std::string& name) const { return ids_.find_optional(name); }
  /// A model that was removed meanwhile has the status of a model that is not in memory.
  ModelStatus status(ModelId model) const;
  /// Serves a further model, or replaces the model of that name, from the next update on. The old one leaves
  /// memory when the requests that run on it have ended.
  void put(ServedModel model);
  /// Serves the model no more from the next update on. It leaves memory when the requests that run on it have ended.
  void remove(const std::string& name);
  /// Whether lose_device() was called.
  bool device_lost() const { return device_lost_; }
  void request_load(ModelId model) { mailbox_.post(model, ModelWish::kLoad); }
  void request_unload(ModelId model) { mailbox_.post(model, ModelWish::kUnload); }

  // For the loop.

  std::vector<ModelId> models() const;
  /// Takes what other threads have posted, removes and adds models, unloads what should leave, starts the next load.
  /// The demand holds for the methods below until the next update.
  void update(DemandByModel demand);
  /// Whether the model was removed. Requests that wait for it are to be given the model that has its name now, if any.
  bool removed(ModelId model) const { return removed_.contains(model) || !entries_.contains(model); }
  /// The model, if requests may be begun with it now; else null.
  ResidentModel* find(ModelId model);
  bool loading(ModelId model) const { return loading_ == model; }
  /// Why the model's latest load failed, until it may be tried again.
  std::optional<Failure> failure(ModelId model) const;
  /// Work with the model was measured.
  void used(ModelId model);
  /// Unloads the least recently used model on which no request runs, other than `requester`. Waiting requests load it
  /// again. @return whether there was one
  bool evict_for(ModelId requester);
  /// The device fails every call from now on: its models can neither be used nor unloaded, and every later load fails
  /// with this.
  void lose_device(const Failure& why);
  /// What lose_device() was called with, if it was.
  const std::optional<Failure>& lost() const { return lost_; }
  /// As seconds_until_ready() of room_plan.h.
  double ready_in(ModelId model) const;
  /// When update should be called although nothing has happened; none: never.
  std::optional<TimePoint> next_change() const;
  /// Waits for a load under way and destroys all pipelines.
  void unload_all();
  ModelLabels labels(ModelId model) const { return {names_.at(model), options_.device}; }

 private:
  RoomRules rules() const;
  bool execute(const RoomPlan& plan);
  void take_load_result();
  bool make_room_after(const LoadResult& result);
  void take_wishes();
  void start_load(ModelId model);
  LoadResult run_load(ModelId model, const ServedModel& served);
  void succeed(ModelId model, std::unique_ptr<Pipeline> pipeline);
  void fail(ModelId model, Failure failure);
  void unload(ModelId model, bool evicted);
  void publish(ModelId model, ModelState state, const std::string& failure = {});
  void register_model(ModelId id, std::shared_ptr<const ServedModel> model);
  void take_changes();
  void forget_removed();

  /// A model that was added, or the number of a removed model.
  struct Change {
    ModelId id;
    std::shared_ptr<const ServedModel> added;  // null: removed
  };

  const Options options_;
  const Dependencies dependencies_;
  ModelIds ids_;
  std::map<ModelId, std::shared_ptr<const ServedModel>> served_;
  std::map<ModelId, std::string> names_;  // of removed models, too: their last work is reported by name
  ModelEntries entries_;
  std::set<ModelId> removed_;  // of entries_: they leave when nothing needs them
  DemandByModel demand_;
  std::optional<ModelId> loading_;
  std::optional<Failure> lost_;  // why
  std::atomic<bool> device_lost_ = false;

  ResidencyMailbox mailbox_;
  Mutex changes_mutex_;
  std::vector<Change> changes_ EASEL_GUARDED_BY(changes_mutex_);
  mutable Mutex status_mutex_;
  std::map<ModelId, ModelStatus> statuses_ EASEL_GUARDED_BY(status_mutex_);
};

}  // namespace easel
