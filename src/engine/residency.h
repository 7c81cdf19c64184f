// Which models there are, and which of them are in a device's memory.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "easel/engine.h"
#include "engine/batch_limit.h"
#include "engine/clock.h"
#include "engine/failure.h"
#include "engine/load_times.h"

namespace easel {

/// A model in memory.
struct ResidentModel {
  std::size_t index;  ///< among the served ones
  std::unique_ptr<Pipeline> pipeline;
  BatchLimit batch_limit;
};

/// How many requests there are for a model.
struct Demand {
  std::size_t waiting = 0;
  std::size_t drawing = 0;
};

/// Brings models into the memory of one device, one at a time, and out of it, within the budget.
///
/// A model that nobody draws with makes room at once, the least recently used first. Models in demand take turns: one
/// that waits for their room gets it when it has waited twice as long as its loading takes, from one that was drawn
/// with and has been there twice as long as its own loading took; then nothing more is begun with that one, and it
/// leaves when what was begun is done. So nobody starves, however many models share the room, and most of the time is
/// spent on drawing. Descriptions, status and the asking are thread-safe, the rest belongs to the loop's thread.
class Residency {
 public:
  struct Options {
    std::string device = "cpu";                             ///< as loaders and observers know it
    bool load_first_model = true;                           ///< the first model at the start, wanted or not
    std::int64_t memory_budget = 0;                         ///< bytes; 0: no limit
    std::optional<std::chrono::milliseconds> keep_alive{};  ///< of idle models
    std::chrono::milliseconds load_retry{30000};
  };
  /// How the world outside is reached.
  struct Dependencies {
    std::function<void(std::function<void()>)> run_on_loader;  ///< runs a loading, on another thread
    std::function<void()> wake;                                ///< a loading is done; any thread
    Clock now = std::chrono::steady_clock::now;
    std::shared_ptr<EngineObserver> observer = nullptr;                     ///< may be null
    std::shared_ptr<LoadTimes> load_times = std::make_shared<LoadTimes>();  ///< of all devices
  };
  /// @throws Error(kInvalidArgument)  no model, or two with the same id
  Residency(std::vector<ServedModel> models, Options options, Dependencies dependencies);

  const std::vector<ModelDescription>& descriptions() const { return descriptions_; }
  const std::string& device() const { return options_.device; }
  /// @throws Error(kNotFound)  no such id
  std::size_t index_of(const std::string& id) const;
  ModelStatus status(std::size_t model) const;
  void request_load(std::size_t model);
  void request_unload(std::size_t model);

  // For the loop.

  /// Takes up what was loaded, frees what should go, starts the next loading. @param demand  one entry a model
  void update(std::span<const Demand> demand);
  /// The model, if requests may be begun with it now.
  ResidentModel* find(std::size_t model);
  /// Why its latest loading failed, until it may be tried again.
  std::optional<Failure> failure(std::size_t model) const;
  void used(std::size_t model);
  /// Frees the least recently used model that nobody draws with, other than `requester`; waiting requests load it
  /// again. @return whether there was one
  bool evict_for(std::size_t requester, std::span<const Demand> demand);
  /// Seconds until requests could be begun with it, by measured loading times; infinite while its latest loading counts
  /// as failed, or where it can never fit.
  double ready_in(std::size_t model, std::span<const Demand> demand) const;
  /// When tend should be called although nothing happened.
  std::optional<TimePoint> next_change(std::span<const Demand> demand) const;
  /// Waits for a loading under way, and frees everything on the thread that drew with it.
  void unload_all();

 private:
  struct LoadResult {
    std::size_t model;
    std::unique_ptr<Pipeline> pipeline;
    std::optional<Failure> failure;
  };
  struct ModelEntry {
    ServedModel served;
    std::optional<ResidentModel> resident{};  // of the loop's thread, like those up to the status
    bool requested = false;                   // by request_load, or at the start
    bool wanted = false;                      // that, or requests wait for it
    bool draining = false;                    // nothing more is begun with it; it goes when it is idle
    bool draining_for_room = false;
    std::optional<Failure> failure{};
    bool just_failed = false;      // since the latest tend: those who wait are told, whatever load_retry is
    bool used_since_load = false;  // a request was begun with it since it was loaded
    TimePoint failed_at{}, used_at{}, loading_since{}, ready_at{};
    std::optional<TimePoint> waiting_since{};
    double load_seconds = 0;                                // the latest
    bool load_requested = false, unload_requested = false;  // under the mutex, like the status
    ModelStatus status{};
  };

  void apply_requests();
  void apply_load_result();
  void finish_load(ModelEntry& entry, LoadResult loaded);
  void update_demand(std::span<const Demand> demand);
  void unload_unneeded(std::span<const Demand> demand);
  void start_next_load(std::span<const Demand> demand);
  bool make_room(std::size_t model, std::span<const Demand> demand);
  std::optional<Failure> never_fits(std::size_t model) const;
  std::vector<std::size_t> least_recently_used_first() const;
  std::int64_t bytes_held() const;
  bool within_max_wait(const ModelEntry& entry) const;
  TimePoint protected_until(const ModelEntry& entry) const;
  bool evictable(const ModelEntry& entry) const;
  bool keep_alive_expired(const ModelEntry& entry, const Demand& demand) const;
  ModelLabels at(const ModelEntry& entry) const { return {entry.served.description.id, options_.device}; }
  double expected_load_seconds(std::size_t model) const;
  bool fits_beside_models_in_demand(std::size_t model, std::span<const Demand> demand) const;
  void start(std::size_t model);
  void fail(ModelEntry& entry, Failure failure);
  void unload(ModelEntry& entry, bool evicted);
  void set_state(ModelEntry& entry, ModelState state);

  std::vector<ModelDescription> descriptions_;
  const Options options_;
  const Dependencies dependencies_;
  std::vector<std::unique_ptr<ModelEntry>> entries_;  // in the order of descriptions_
  std::optional<std::size_t> loading_;

  mutable std::mutex mutex_;  // guards the wishes and status of entries, and what follows
  std::condition_variable loaded_changed_;
  std::optional<LoadResult> loaded_;
};

}  // namespace easel
