// How long models take to load.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

#include "engine/cost_model.h"

namespace easel {

/// Measured on any device, expected on all: what loads here has loaded there. Thread-safe.
class LoadTimes {
 public:
  /// @param bytes  of the model
  void add(std::size_t model, std::int64_t bytes, double seconds);
  /// As its latest loading; else by its bytes, at the speed of others.
  double expected(std::size_t model, std::int64_t bytes) const;

 private:
  mutable std::mutex mutex_;  // guards what follows
  std::map<std::size_t, double> latest_;
  RunningMean per_byte_;
};

}  // namespace easel
