// Halving and doubling a feature map, each with a learned convolution.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>

#include "nn/layers.h"

namespace easel {

/// diffusers' Downsample2D with convolution: stride 2.
class Downsample2D {
 public:
  /// @param padding  1: on all sides; 0: one row below and one column right, as in the VAE
  Downsample2D(const ModuleScope& scope, std::int64_t channels, std::int64_t padding);
  /// @param x  [B, C, H, W]
  /// @return   [B, C, about H / 2, about W / 2]
  at::Tensor operator()(const at::Tensor& x, const RunContext& ctx) const;

 private:
  Conv2d conv_;
  bool pad_after_;
};

/// Nearest neighbour: [B, C, H, W] -> [B, C, size[0], size[1]].
at::Tensor upsample_nearest(const at::Tensor& x, std::array<std::int64_t, 2> size);

/// diffusers' Upsample2D with convolution: nearest neighbour, then 3 x 3.
class Upsample2D {
 public:
  Upsample2D(const ModuleScope& scope, std::int64_t channels);
  /// @param x     [B, C, H, W]
  /// @param size  height and width of the result: twice those of x, or one less where the way down met an odd size
  at::Tensor operator()(const at::Tensor& x, std::array<std::int64_t, 2> size, const RunContext& ctx) const;

 private:
  Conv2d conv_;
};

}  // namespace easel
