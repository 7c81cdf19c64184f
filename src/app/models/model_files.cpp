#include "app/models/model_files.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "core/text.h"
#include "weights/format/file_stamp.h"

namespace easel {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxDepth = 3;  // of files in a checkpoint's folder: component, file, and one more

std::string text_of(const std::string& path) {
  const auto stamp = stamp_of(path);
  if (!stamp) return concat(path, '\n');
  return concat(path, ' ', stamp->device, ' ', stamp->inode, ' ', stamp->size, ' ', stamp->mtime_ns, ' ',
                stamp->ctime_ns, '\n');
}

}  // namespace

ModelFiles look_at_files(const std::string& path) {
  std::vector<std::string> files{path};
  std::error_code error;
  if (fs::is_directory(path, error)) {
    for (fs::recursive_directory_iterator at(path, error), end; !error && at != end; at.increment(error)) {
      if (at.depth() >= kMaxDepth) at.disable_recursion_pending();
      files.push_back(at->path().string());
    }
  } else {
    const auto stem = fs::path(path).replace_extension().string();
    for (const char* extension : {".easel.json", ".yaml", ".vae.safetensors", ".vae.sft"}) {
      files.push_back(stem + extension);
    }
  }
  std::sort(files.begin(), files.end());
  ModelFiles found{.path = path, .stamps = {}};
  for (const auto& file : files) found.stamps += text_of(file);
  return found;
}

ServedModel FailedLoads::watched(ServedModel model, const std::string& path) {
  model.load = [self = shared_from_this(), id = model.description.id, path, load = std::move(model.load)](
                   const std::string& device, const LoadProgress& progress) {
    try {
      auto pipeline = load(device, progress);
      self->forget(id);
      return pipeline;
    } catch (...) {
      self->add(id, path);
      throw;
    }
  };
  forget(model.description.id);
  return model;
}

bool FailedLoads::take_if_changed(const std::string& id, const ModelFiles& files) {
  const MutexLock lock(mutex_);
  const auto failed = files_.find(id);
  if (failed == files_.end() || failed->second == files) return false;
  files_.erase(failed);
  return true;
}

void FailedLoads::forget(const std::string& id) {
  const MutexLock lock(mutex_);
  files_.erase(id);
}

void FailedLoads::add(const std::string& id, const std::string& path) {
  auto files = look_at_files(path);
  const MutexLock lock(mutex_);
  files_[id] = std::move(files);
}

}  // namespace easel
