// Notices models that are added, replaced and removed while the server runs.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "app/models/model_files.h"
#include "core/mutex.h"
#include "easel/engine.h"

namespace easel {

/// Looks at the files of all checkpoints every two seconds and changes the engine's models accordingly. A change counts
/// once two looks in a row have found the same, so that a file that is still being written is not opened. A model whose
/// load failed is loaded again once its files are others than they were then. A model that was taken out of the engine
/// by others, who then remove its files, counts as one that is not served: where its files stay, it is served again
/// after two looks. Methods are for one thread; the engine must outlive this object.
class ModelWatch {
 public:
  struct Actions {
    std::function<std::vector<WatchedModel>()> find;               ///< all checkpoints as they are now
    std::function<ServedModel(const WatchedModel& model)> open{};  ///< @throws Error  it cannot be served
  };
  /// @param served        what the engine serves now, or could not open
  /// @param failed_loads  has watched the models that the engine serves now
  ModelWatch(Engine& engine, Actions actions, const std::vector<WatchedModel>& served,
             std::shared_ptr<FailedLoads> failed_loads = std::make_shared<FailedLoads>());
  /// Ends the thread of start(), if there is one.
  ~ModelWatch();
  ModelWatch(const ModelWatch&) = delete;
  ModelWatch& operator=(const ModelWatch&) = delete;

  /// Looks from now on, on a thread of its own.
  void start(std::chrono::milliseconds interval = std::chrono::seconds(2));
  /// Looks twice within the next half second, after start(). May be called from any thread.
  void look_soon();
  /// Looks once. Does not throw: what goes wrong is logged.
  void look();

 private:
  /// Waits for the time of the next look. @return false where there is none
  bool wait_for_next(std::chrono::milliseconds interval);
  /// Forgets models that others have taken out of the engine since the previous look.
  void forget_taken_out();
  void open(const std::string& id, const ModelFiles& files);
  void load_again(const std::string& id);
  void remove(const std::string& id);

  Engine& engine_;
  const Actions actions_;
  const std::shared_ptr<FailedLoads> failed_loads_;
  std::map<std::string, ModelFiles> served_;  // by id
  std::map<std::string, ModelFiles> seen_;    // by the latest look
  std::map<std::string, ModelFiles> failed_;  // could not be opened
  std::set<std::string> in_engine_;           // at the latest look, and what it has changed

  std::thread thread_;
  Mutex mutex_;
  CondVar stopped_;
  bool stop_ EASEL_GUARDED_BY(mutex_) = false;
  int looks_wanted_ EASEL_GUARDED_BY(mutex_) = 0;  // soon
};

}  // namespace easel
