// Which models there are, and which of them are in memory.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "easel/engine.h"
#include "engine/failure.h"
#include "engine/policy.h"

namespace easel {

/// A model in memory.
struct ResidentModel {
  std::size_t index;  ///< among the served ones
  std::unique_ptr<Pipeline> pipeline;
  BatchLimit batch_limit;
};

/// Loads a model when it is first asked for, once. get and unload_all belong to one thread, the rest is thread-safe.
class Residency {
 public:
  /// @throws Error(kInvalidArgument)  no model, or two with the same id
  explicit Residency(std::vector<ServedModel> models);

  const std::vector<ModelDescription>& descriptions() const { return descriptions_; }
  /// @throws Error(kNotFound)  no such id
  ModelStatus status(const std::string& id) const;
  void ask_load(const std::string& id);
  void ask_unload(const std::string& id);

  /// Loads it if need be.
  /// @throws Error  why it cannot be loaded, each time with the same words; kNotFound where there is no such id
  ResidentModel& get(const std::string& id);
  /// Loads and unloads what was asked for, but what is in use.
  void do_as_asked(const std::function<bool(std::size_t)>& in_use);
  /// Frees them all, on the thread that drew with them.
  void unload_all();

 private:
  struct Entry {
    ServedModel served;
    std::atomic<ModelState> state{ModelState::kUnloaded};
    std::atomic<bool> load_asked{false}, unload_asked{false};
    std::optional<ResidentModel> resident;  // what follows belongs to the thread of get
    std::optional<Failure> failure;
  };

  std::size_t index_of(const std::string& id) const;
  ResidentModel load(std::size_t index) const;

  std::vector<ModelDescription> descriptions_;
  std::vector<std::unique_ptr<Entry>> entries_;  // in the order of descriptions_
};

}  // namespace easel
