#include "app/models/model_watch.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "core/log.h"
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

ModelWatch::ModelWatch(Engine& engine, Actions actions, const std::vector<WatchedModel>& served)
    : engine_(engine), actions_(std::move(actions)) {
  for (const auto& model : served) served_[model.id] = files_of(model.path);
  seen_ = served_;
}

ModelWatch::~ModelWatch() {
  if (!thread_.joinable()) return;
  {
    const MutexLock lock(mutex_);
    stop_ = true;
    stopped_.notify_all();
  }
  thread_.join();
}

void ModelWatch::start(std::chrono::milliseconds interval) {
  thread_ = std::thread([this, interval] {
    while (wait_for_next(interval)) look();
  });
}

void ModelWatch::look_soon() {
  constexpr int kLooks = 2;  // a change counts once both have found it
  const MutexLock lock(mutex_);
  looks_wanted_ = kLooks;
  stopped_.notify_all();
}

bool ModelWatch::wait_for_next(std::chrono::milliseconds interval) {
  constexpr std::chrono::milliseconds kSoon{200};
  const auto begun = std::chrono::steady_clock::now();
  const MutexLock lock(mutex_);
  while (!stop_) {
    const auto until = begun + (looks_wanted_ > 0 ? std::min(kSoon, interval) : interval);
    if (std::chrono::steady_clock::now() >= until) break;
    stopped_.wait_until(mutex_, until);
  }
  if (looks_wanted_ > 0) --looks_wanted_;
  return !stop_;
}

ModelWatch::Files ModelWatch::files_of(const std::string& path) {
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
  Files found{.path = path, .stamps = {}};
  for (const auto& file : files) found.stamps += text_of(file);
  return found;
}

void ModelWatch::look() {
  try {
    std::map<std::string, Files> now;
    for (const auto& model : actions_.find()) now.try_emplace(model.id, files_of(model.path));
    std::vector<std::string> gone;
    for (const auto& [id, files] : served_) {
      if (!now.contains(id) && !seen_.contains(id)) gone.push_back(id);
    }
    for (const auto& id : gone) remove(id);
    for (const auto& [id, files] : now) {
      const auto is = [&](const std::map<std::string, Files>& known) {
        const auto found = known.find(id);
        return found != known.end() && found->second == files;
      };
      if (!is(served_) && !is(failed_) && is(seen_)) open(id, files);
    }
    seen_ = std::move(now);
  } catch (const std::exception& e) {
    log::warning(concat("the models could not be looked at: ", e.what()));
  }
}

void ModelWatch::open(const std::string& id, const Files& files) {
  const bool replaced = served_.contains(id);
  try {
    engine_.put(actions_.open({.id = id, .path = files.path}));
    served_[id] = files;
    failed_.erase(id);
    log::info(concat("model ", id, replaced ? " was replaced" : " was added"));
  } catch (const std::exception& e) {
    failed_[id] = files;
    log::warning(concat("model ", id, " is left out: ", e.what()));
    // Its old files are not there any more.
    if (replaced) remove(id);
  }
}

void ModelWatch::remove(const std::string& id) {
  try {
    engine_.remove(id);
    log::info(concat("model ", id, " was removed"));
  } catch (const Error& e) {
    log::warning(concat("model ", id, " is gone: ", e.what()));
  }
  served_.erase(id);
}

}  // namespace easel
