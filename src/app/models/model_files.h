// The files of a checkpoint at one moment, and what they were when a load failed.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "core/mutex.h"
#include "easel/engine.h"

namespace easel {

/// A checkpoint that is served, or could be.
struct WatchedModel {
  std::string id;    ///< the name that requests use
  std::string path;  ///< of its folder or file
};

/// Equal values mean that nothing has changed.
struct ModelFiles {
  std::string path;
  std::string stamps;  ///< of all files: device, inode, size and times; a file that is away has none
  bool operator==(const ModelFiles&) const = default;
};

/// Looks at the files of a checkpoint: all below a folder, or a single file and what belongs to it.
ModelFiles look_at_files(const std::string& path);

/// Remembers for each model what its files were when its latest load failed: a folder on a network mount may be away
/// for a moment, and be the same when it returns. Thread-safe.
class FailedLoads : public std::enable_shared_from_this<FailedLoads> {
 public:
  /// The same model; when its load fails, the files are looked at. To be held by a shared_ptr.
  ServedModel watched(ServedModel model, const std::string& path);
  /// Whether the latest load failed, with other files than these. Says so once.
  bool take_if_changed(const std::string& id, const ModelFiles& files);

 private:
  void add(const std::string& id, const std::string& path);
  void forget(const std::string& id);

  Mutex mutex_;
  std::map<std::string, ModelFiles> files_ EASEL_GUARDED_BY(mutex_);  // by id
};

}  // namespace easel
