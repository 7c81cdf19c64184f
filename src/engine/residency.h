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
  struct Rules {
    std::string device = "cpu";                             ///< as loaders and observers know it
    bool loads_first = true;                                ///< the first model at the start, wanted or not
    std::int64_t memory_budget = 0;                         ///< bytes; 0: no limit
    std::optional<std::chrono::milliseconds> keep_alive{};  ///< of idle models
    std::chrono::milliseconds load_retry{30000};
  };
  /// How the world outside is reached.
  struct Ports {
    std::function<void(std::function<void()>)> run_elsewhere;  ///< runs a loading, on another thread
    std::function<void()> wake;                                ///< a loading is done; any thread
    Clock now = std::chrono::steady_clock::now;
    std::shared_ptr<EngineObserver> observer = nullptr;                     ///< may be null
    std::shared_ptr<LoadTimes> load_times = std::make_shared<LoadTimes>();  ///< of all devices
  };
  /// @throws Error(kInvalidArgument)  no model, or two with the same id
  Residency(std::vector<ServedModel> models, Rules rules, Ports ports);

  const std::vector<ModelDescription>& descriptions() const { return descriptions_; }
  const std::string& device() const { return rules_.device; }
  /// @throws Error(kNotFound)  no such id
  std::size_t index_of(const std::string& id) const;
  ModelStatus status(std::size_t model) const;
  void ask_load(std::size_t model);
  void ask_unload(std::size_t model);

  // For the loop.

  /// Takes up what was loaded, frees what should go, starts the next loading. @param demand  one entry a model
  void tend(std::span<const Demand> demand);
  /// The model, if requests may be begun with it now.
  ResidentModel* find(std::size_t model);
  /// Why its latest loading failed, until it may be tried again.
  std::optional<Failure> failure(std::size_t model) const;
  void used(std::size_t model);
  /// Frees the least recently used model that nobody draws with, other than `needy`; waiting requests load it
  /// again. @return whether there was one
  bool evict_for(std::size_t needy, std::span<const Demand> demand);
  /// Seconds until requests could be begun with it, by measured loading times; infinite while its latest loading counts
  /// as failed, or where it can never fit.
  double ready_in(std::size_t model, std::span<const Demand> demand) const;
  /// When tend should be called although nothing happened.
  std::optional<TimePoint> next_change(std::span<const Demand> demand) const;
  /// Waits for a loading under way, and frees everything on the thread that drew with it.
  void unload_all();

 private:
  struct Loaded {
    std::size_t model;
    std::unique_ptr<Pipeline> pipeline;
    std::optional<Failure> failure;
  };
  struct Entry {
    ServedModel served;
    std::optional<ResidentModel> resident{};  // of the loop's thread, like those up to the status
    bool asked = false;                       // by ask_load, or at the start
    bool wanted = false;                      // that, or requests wait for it
    bool closing = false;                     // nothing more is begun with it; it goes when it is idle
    bool closing_for_room = false;
    std::optional<Failure> failure{};
    bool just_failed = false;   // since the latest tend: those who wait are told, whatever load_retry is
    bool had_its_turn = false;  // a request was begun with it since it was loaded
    TimePoint failed_at{}, used_at{}, loading_since{}, ready_at{};
    std::optional<TimePoint> waiting_since{};
    double load_seconds = 0;                        // the latest
    bool load_asked = false, unload_asked = false;  // under the mutex, like the status
    ModelStatus status{};
  };

  void take_wishes();
  void take_loaded();
  void receive(Entry& entry, Loaded loaded);
  void note_demand(std::span<const Demand> demand);
  void free_unwanted(std::span<const Demand> demand);
  void start_next(std::span<const Demand> demand);
  bool make_room(std::size_t model, std::span<const Demand> demand);
  std::optional<Failure> impossible(std::size_t model) const;
  std::vector<std::size_t> by_last_use() const;
  std::int64_t bytes_held() const;
  bool may_wait_longer(const Entry& entry) const;
  TimePoint end_of_turn(const Entry& entry) const;
  bool may_be_sent_away(const Entry& entry) const;
  bool idle_too_long(const Entry& entry, const Demand& demand) const;
  ModelAt at(const Entry& entry) const { return {entry.served.description.id, rules_.device}; }
  double expected_load_seconds(std::size_t model) const;
  bool fits_without_those_in_demand(std::size_t model, std::span<const Demand> demand) const;
  void start(std::size_t model);
  void fail(Entry& entry, Failure failure);
  void unload(Entry& entry, bool evicted);
  void set_state(Entry& entry, ModelState state);

  std::vector<ModelDescription> descriptions_;
  const Rules rules_;
  const Ports ports_;
  std::vector<std::unique_ptr<Entry>> entries_;  // in the order of descriptions_
  std::optional<std::size_t> loading_;

  mutable std::mutex mutex_;  // guards the wishes and status of entries, and what follows
  std::condition_variable loaded_changed_;
  std::optional<Loaded> loaded_;
};

}  // namespace easel
