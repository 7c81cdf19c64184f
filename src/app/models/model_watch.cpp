#include "app/models/model_watch.h"

#include <utility>

#include "core/log.h"
#include "core/text.h"

namespace easel {
namespace {

std::set<std::string> ids_of(const Engine& engine) {
  std::set<std::string> ids;
  for (const auto& model : engine.models()) ids.insert(model.id);
  return ids;
}

}  // namespace

ModelWatch::ModelWatch(Engine& engine, Actions actions, const std::vector<WatchedModel>& served,
                       std::shared_ptr<FailedLoads> failed_loads)
    : engine_(engine), actions_(std::move(actions)), failed_loads_(std::move(failed_loads)) {
  for (const auto& model : served) served_[model.id] = look_at_files(model.path);
  seen_ = served_;
  in_engine_ = ids_of(engine_);
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

void ModelWatch::look() {
  try {
    forget_taken_out();
    std::map<std::string, ModelFiles> now;
    for (const auto& model : actions_.find()) now.try_emplace(model.id, look_at_files(model.path));
    std::vector<std::string> gone;
    for (const auto& [id, files] : served_) {
      if (!now.contains(id) && !seen_.contains(id)) gone.push_back(id);
    }
    for (const auto& id : gone) remove(id);
    for (const auto& [id, files] : now) {
      const auto is = [&](const std::map<std::string, ModelFiles>& known) {
        const auto found = known.find(id);
        return found != known.end() && found->second == files;
      };
      if (!is(seen_)) continue;
      if (!is(served_) && !is(failed_)) {
        open(id, files);
      } else if (failed_loads_->take_if_changed(id, files)) {
        load_again(id);
      }
    }
    seen_ = std::move(now);
  } catch (const std::exception& e) {
    log::warning(concat("the models could not be looked at: ", e.what()));
  }
}

void ModelWatch::forget_taken_out() {
  auto now = ids_of(engine_);
  for (const auto& id : in_engine_) {
    if (now.contains(id)) continue;
    served_.erase(id);
    seen_.erase(id);  // its files may be about to be removed
  }
  in_engine_ = std::move(now);
}

void ModelWatch::open(const std::string& id, const ModelFiles& files) {
  const bool replaced = served_.contains(id);
  try {
    engine_.put(failed_loads_->watched(actions_.open({.id = id, .path = files.path}), files.path));
    in_engine_.insert(id);
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

// Without this, requests would get the old failure until EngineOptions::load_retry has passed.
void ModelWatch::load_again(const std::string& id) {
  try {
    engine_.load(id);
    log::info(concat("model ", id, " is loaded again: its files have changed since that failed"));
  } catch (const Error&) {
    // It is not served any more, or the server ends.
  }
}

void ModelWatch::remove(const std::string& id) {
  try {
    engine_.remove(id);
    in_engine_.erase(id);
    log::info(concat("model ", id, " was removed"));
  } catch (const Error& e) {
    log::warning(concat("model ", id, " is gone: ", e.what()));
  }
  served_.erase(id);
}

}  // namespace easel
