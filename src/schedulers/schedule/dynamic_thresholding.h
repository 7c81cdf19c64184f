// Dynamic thresholding of a predicted x0 (Saharia et al. 2022, arXiv:2205.11487, section 2.3).
#pragma once

#include <ATen/core/Tensor.h>

#include "schedulers/schedule/scheduler_arguments.h"

namespace easel {

/// Reads thresholding, dynamic_thresholding_ratio and sample_max_value.
class DynamicThresholding {
 public:
  /// @throws Error(kCorruptData)  a ratio outside 0 to 1
  explicit DynamicThresholding(SchedulerArguments& arguments);

  bool enabled() const { return enabled_; }
  /// Clips each image at a quantile of its magnitudes, between 1 and sample_max_value, and divides by it.
  /// @param sample  [B, C, ...] @return same shape and dtype
  at::Tensor operator()(const at::Tensor& sample) const;

 private:
  bool enabled_;
  double ratio_ = 0;
  double sample_max_value_ = 0;
};

}  // namespace easel
