// What other threads leave for a device's loop.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "core/mutex.h"
#include "easel/pipeline.h"
#include "engine/device/failure.h"
#include "engine/device/model_ids.h"

namespace easel {

/// What Engine::load and Engine::unload ask for.
enum class ModelWish { kLoad, kUnload };

/// How a load ended: with a pipeline or with a failure.
struct LoadResult {
  ModelId model;
  std::unique_ptr<Pipeline> pipeline{};
  std::optional<Failure> failure{};
};

/// Filled by any thread, emptied by the loop's thread. Thread-safe.
class ResidencyMailbox {
 public:
  /// Replaces an earlier wish for this model that was not taken yet.
  void post(ModelId model, ModelWish wish) {
    const MutexLock lock(mutex_);
    wishes_.insert_or_assign(model, wish);
  }
  std::map<ModelId, ModelWish> take_wishes() {
    const MutexLock lock(mutex_);
    return std::exchange(wishes_, {});
  }

  /// One load is under way at a time, so there is at most one result.
  void post(LoadResult result) {
    const MutexLock lock(mutex_);
    result_ = std::move(result);
    result_posted_.notify_all();
  }
  std::optional<LoadResult> take_result() {
    const MutexLock lock(mutex_);
    return std::exchange(result_, std::nullopt);
  }
  /// Blocks until there is a result.
  LoadResult wait_for_result() {
    const MutexLock lock(mutex_);
    while (!result_) result_posted_.wait(mutex_);
    return *std::exchange(result_, std::nullopt);
  }

 private:
  Mutex mutex_;
  CondVar result_posted_;
  std::map<ModelId, ModelWish> wishes_ EASEL_GUARDED_BY(mutex_);
  std::optional<LoadResult> result_ EASEL_GUARDED_BY(mutex_);
};

}  // namespace easel
