#include "engine/batch_limit.h"

#include <algorithm>

namespace easel {

namespace {

// Long enough that trying, and failing, a larger step again costs next to nothing.
constexpr int kStepsBeforeGrowing = 200;

}  // namespace

void BatchLimit::ran_out(int tried) {
  current_ = std::max(1, tried / 2);
  well_ = 0;
}

void BatchLimit::went_well(int count) {
  if (count < current_ || current_ == most_) return;
  if (++well_ < kStepsBeforeGrowing) return;
  current_ = std::min(most_, current_ * 2);
  well_ = 0;
}

}  // namespace easel
