#include "engine/load_times.h"

namespace easel {

namespace {

// Until the first loading says more: a disk that reads 1 GB/s.
constexpr double kGuessedSecondsPerByte = 1e-9;

}  // namespace

void LoadTimes::add(std::size_t model, std::int64_t bytes, double seconds) {
  const std::lock_guard lock(mutex_);
  latest_[model] = seconds;
  if (bytes > 0) per_byte_.add(seconds / static_cast<double>(bytes));
}

double LoadTimes::expected(std::size_t model, std::int64_t bytes) const {
  const std::lock_guard lock(mutex_);
  if (const auto found = latest_.find(model); found != latest_.end()) return found->second;
  return (per_byte_.known() ? per_byte_.value() : kGuessedSecondsPerByte) * static_cast<double>(bytes);
}

}  // namespace easel
