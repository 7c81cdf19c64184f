// Limiting a predicted x0 to the range of images.
#pragma once

#include <ATen/core/Tensor.h>

#include "schedulers/schedule/scheduler_arguments.h"

namespace easel {

/// Dynamic thresholding of a predicted x0 (Saharia et al. 2022, arXiv:2205.11487, section 2.3). Reads thresholding,
/// dynamic_thresholding_ratio and sample_max_value.
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

/// Reads clip_sample, clip_sample_range and the fields of DynamicThresholding, which takes precedence over clipping.
class Clipping {
 public:
  /// @param clip_sample  the class's default @throws Error(kCorruptData)  names the field
  Clipping(SchedulerArguments& arguments, bool clip_sample)
      : thresholding_(arguments),
        clip_sample_(arguments.flag("clip_sample", clip_sample)),
        range_(clip_sample_ ? arguments.number("clip_sample_range", 1.0) : 0.0) {}

  /// @param original_sample  [B, C, h, w] @return same shape and dtype
  at::Tensor operator()(const at::Tensor& original_sample) const;

 private:
  DynamicThresholding thresholding_;
  bool clip_sample_;
  double range_;
};

}  // namespace easel
