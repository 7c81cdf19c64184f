// Halving and doubling a feature map by a fixed filter, in UNets in the style of k-diffusion.
#pragma once

#include <ATen/core/Tensor.h>

#include "tensor/placement.h"

namespace easel {

/// diffusers' KDownsample2D: the filter (1, 3, 3, 1) / 8 along both axes, edges mirrored. Has no weights.
class KDownsample2D {
 public:
  explicit KDownsample2D(const Placement& placement);
  at::Tensor operator()(const at::Tensor& x) const;  // [B, C, H, W] -> [B, C, H / 2, W / 2]; H and W at least 2

 private:
  at::Tensor kernel_;  // [1, 1, 4, 4]
};

/// diffusers' KUpsample2D: the transposed convolution with the same filter.
class KUpsample2D {
 public:
  explicit KUpsample2D(const Placement& placement);
  at::Tensor operator()(const at::Tensor& x) const;  // [B, C, H, W] -> [B, C, 2 H, 2 W]; H and W at least 2

 private:
  at::Tensor kernel_;  // [1, 1, 4, 4]
};

}  // namespace easel
