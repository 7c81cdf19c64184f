#include "engine/device/batch_limit.h"

#include <algorithm>

namespace easel {

namespace {

// So many that another attempt at a larger step costs very little, even if it fails.
constexpr int kStepsBeforeGrowing = 200;

}  // namespace

void BatchLimit::record_out_of_memory(int tried) {
  current_ = std::max(1, tried / 2);
  successes_ = 0;
}

void BatchLimit::record_success(int count) {
  if (count < current_ || current_ == max_) return;
  if (++successes_ < kStepsBeforeGrowing) return;
  current_ = std::min(max_, current_ * 2);
  successes_ = 0;
}

}  // namespace easel
