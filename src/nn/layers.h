// The layers that hold weights. Callers never see how a weight is kept, so packing, half storage or adapters change
// nothing outside layers.cpp. A weight that is kept in a smaller dtype than the layer computes in is converted at each
// call. Immutable once made; calls are thread-safe where no adapter is in use.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "weights/loading/weights.h"

namespace easel {

enum class Bias { kNone, kPresent };

/// y = x W^T + b over the last dimension.
class Linear {
 public:
  Linear(const WeightScope& scope, std::int64_t in_features, std::int64_t out_features, Bias bias = Bias::kPresent);
  at::Tensor operator()(const at::Tensor& x) const;  // [..., in_features] -> [..., out_features]

 private:
  at::Tensor weight() const;  // as it is computed with

  DeferredWeight weight_;
  at::Tensor bias_;
  c10::ScalarType dtype_;
  std::shared_ptr<LayerSlot> slot_;
};

struct Conv2dOptions {
  std::int64_t kernel = 3;
  std::int64_t stride = 1;
  std::int64_t padding = 1;
  Bias bias = Bias::kPresent;
};

/// Square 2-D convolution. The weight is kept channels_last, so what comes out is channels_last as well.
class Conv2d {
 public:
  Conv2d(const WeightScope& scope, std::int64_t in_channels, std::int64_t out_channels, Conv2dOptions options = {});
  at::Tensor operator()(const at::Tensor& x) const;  // [B, in_channels, H, W] -> [B, out_channels, H', W']

 private:
  at::Tensor weight() const;  // as it is computed with

  DeferredWeight weight_;
  at::Tensor bias_;
  c10::ScalarType dtype_;
  Conv2dOptions options_;
  std::shared_ptr<LayerSlot> slot_;
};

/// Wu and He 2018 (arXiv:1803.08494). `channels` must be a multiple of `groups`.
class GroupNorm {
 public:
  GroupNorm(const WeightScope& scope, std::int64_t groups, std::int64_t channels, double eps);
  at::Tensor operator()(const at::Tensor& x) const;  // [B, channels, ...], a new tensor of the same shape

 private:
  at::Tensor weight_, bias_;
  std::int64_t groups_;
  double eps_;
};

/// Over the last dimension.
class LayerNorm {
 public:
  LayerNorm(const WeightScope& scope, std::int64_t features, double eps = 1e-5);
  at::Tensor operator()(const at::Tensor& x) const;  // [..., features], a new tensor of the same shape

 private:
  at::Tensor weight_, bias_;
  double eps_;
};

class Embedding {
 public:
  Embedding(const WeightScope& scope, std::int64_t count, std::int64_t features);
  at::Tensor operator()(const at::Tensor& indices) const;  // int64 [...] -> [..., features]
  at::Tensor first(std::int64_t n) const;                  // rows 0 to n - 1: [n, features]

 private:
  DeferredWeight weight_;
  c10::ScalarType dtype_;
};

}  // namespace easel
