#include "engine/device/load_times.h"

namespace easel {

namespace {

// Used until the first load has been measured: a disk that reads 1 GB/s.
constexpr double kGuessedSecondsPerByte = 1e-9;

}  // namespace

void LoadTimes::add(ModelId model, std::int64_t bytes, double seconds) {
  const MutexLock lock(mutex_);
  latest_[model] = seconds;
  if (bytes > 0) per_byte_.add(seconds / static_cast<double>(bytes));
}

double LoadTimes::expected(ModelId model, std::int64_t bytes) const {
  const MutexLock lock(mutex_);
  if (const auto found = latest_.find(model); found != latest_.end()) return found->second;
  return (per_byte_.known() ? per_byte_.value() : kGuessedSecondsPerByte) * static_cast<double>(bytes);
}

}  // namespace easel
