// How long models take to load.
#pragma once

#include <cstdint>
#include <map>

#include "core/mutex.h"
#include "engine/device/cost_model.h"
#include "engine/device/model_ids.h"

namespace easel {

/// Load times of all devices together: a model that has loaded on one device is expected to take as long on another.
/// In seconds. Thread-safe.
class LoadTimes {
 public:
  /// @param bytes  memory that the model takes
  void add(ModelId model, std::int64_t bytes, double seconds);
  /// The model's latest load time. Before its first load it is estimated from `bytes`, at the speed that other models
  /// have loaded with.
  double expected(ModelId model, std::int64_t bytes) const;

 private:
  mutable Mutex mutex_;
  std::map<ModelId, double> latest_ EASEL_GUARDED_BY(mutex_);
  RunningMean per_byte_ EASEL_GUARDED_BY(mutex_);
};

}  // namespace easel
