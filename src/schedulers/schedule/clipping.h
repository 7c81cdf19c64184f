// What becomes of a predicted x0 that leaves the range of images.
#pragma once

#include <ATen/core/Tensor.h>

#include "schedulers/schedule/dynamic_thresholding.h"
#include "schedulers/schedule/scheduler_arguments.h"

namespace easel {

/// Reads clip_sample, clip_sample_range and what DynamicThresholding reads; thresholding goes before clipping.
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
