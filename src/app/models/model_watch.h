// Notices models that are added, replaced and removed while the server runs.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "core/mutex.h"
#include "easel/engine.h"

namespace easel {

/// A checkpoint that is served, or could be.
struct WatchedModel {
  std::string id;    ///< the name that requests use
  std::string path;  ///< of its folder or file
};

/// Looks at the files of all checkpoints every two seconds and changes the engine's models accordingly. A change counts
/// once two looks in a row have found the same, so that a file that is still being written is not opened. Methods are
/// for one thread; the engine must outlive this object.
class ModelWatch {
 public:
  struct Actions {
    std::function<std::vector<WatchedModel>()> find;               ///< all checkpoints as they are now
    std::function<ServedModel(const WatchedModel& model)> open{};  ///< @throws Error  it cannot be served
  };
  /// @param served  what the engine serves now
  ModelWatch(Engine& engine, Actions actions, const std::vector<WatchedModel>& served);
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
  /// The files of a checkpoint at one moment: equal texts mean that nothing has changed.
  struct Files {
    std::string path, stamps;
    bool operator==(const Files&) const = default;
  };
  /// Waits for the time of the next look. @return false where there is none
  bool wait_for_next(std::chrono::milliseconds interval);
  static Files files_of(const std::string& path);
  void open(const std::string& id, const Files& files);
  void remove(const std::string& id);

  Engine& engine_;
  const Actions actions_;
  std::map<std::string, Files> served_;  // by id
  std::map<std::string, Files> seen_;    // by the latest look
  std::map<std::string, Files> failed_;  // could not be opened

  std::thread thread_;
  Mutex mutex_;
  CondVar stopped_;
  bool stop_ EASEL_GUARDED_BY(mutex_) = false;
  int looks_wanted_ EASEL_GUARDED_BY(mutex_) = 0;  // soon
};

}  // namespace easel
