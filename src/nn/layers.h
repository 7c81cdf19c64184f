// The layers that hold weights. Callers never see how a weight is stored, so packing, half-precision storage or
// adapters change nothing outside layers.cpp. A weight that is stored in a smaller dtype than the layer computes in is
// converted at each call. Layers are immutable once made; calls are thread-safe, with adapters as well.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "nn/module_scope.h"
#include "nn/run_context.h"
#include "weights/loading/deferred_weight.h"
#include "weights/loading/layer_weight.h"

namespace easel {

enum class Bias { kNone, kPresent };

/// y = x W^T + b over the last dimension.
class Linear {
 public:
  Linear(const ModuleScope& scope, std::int64_t in_features, std::int64_t out_features, Bias bias = Bias::kPresent);
  /// @param ctx  its adapters of this layer, if there are any, are applied
  /// In the dtype of x, which may be wider than the layer's where the layer's would overflow.
  at::Tensor operator()(const at::Tensor& x, const RunContext& ctx) const;  // [..., in_features] -> [..., out_features]

  /// The same for an input that depends on the prompts only, computed once for each of them (see once_per_prompt).
  /// @param prompts  [B, T, in_features], a row for each row of the call
  /// @return         [B, T, out_features]; not to be modified
  at::Tensor of_prompts(const at::Tensor& prompts, const RunContext& ctx) const;

  const LayerSlot& slot() const { return *slot_; }

 private:
  LayerWeight weight_;
  at::Tensor bias_;
  c10::ScalarType dtype_;
  std::shared_ptr<const LayerSlot> slot_;
};

struct Conv2dOptions {
  std::int64_t kernel = 3;
  std::int64_t stride = 1;
  std::int64_t padding = 1;
  Bias bias = Bias::kPresent;
};

/// Square 2-D convolution. The weight is stored channels_last, so the result is channels_last as well.
class Conv2d {
 public:
  Conv2d(const ModuleScope& scope, std::int64_t in_channels, std::int64_t out_channels, Conv2dOptions options = {});
  /// @param x    [B, in_channels, H, W]
  /// @param ctx  its adapters of this layer, if there are any, are applied
  /// @return     [B, out_channels, H', W']
  at::Tensor operator()(const at::Tensor& x, const RunContext& ctx) const;

 private:
  at::Tensor weight() const;  // in the dtype that the layer computes in

  DeferredWeight weight_;
  at::Tensor bias_;
  c10::ScalarType dtype_;
  Conv2dOptions options_;
  std::shared_ptr<const LayerSlot> slot_;
};

/// Wu and He 2018 (arXiv:1803.08494). `channels` must be a multiple of `groups`.
class GroupNorm {
 public:
  GroupNorm(const ModuleScope& scope, std::int64_t groups, std::int64_t channels, double eps);
  /// @param x    [B, channels, ...]
  /// @param ctx  its adapters of this layer, if there are any, are applied
  /// @return     a new tensor of the same shape
  at::Tensor operator()(const at::Tensor& x, const RunContext& ctx) const;

 private:
  at::Tensor weight_, bias_;
  std::int64_t groups_;
  double eps_;
  std::shared_ptr<const LayerSlot> slot_;
};

/// Over the last dimension.
class LayerNorm {
 public:
  LayerNorm(const ModuleScope& scope, std::int64_t features, double eps = 1e-5);
  /// @param x    [..., features]
  /// @param ctx  its adapters of this layer, if there are any, are applied
  /// @return     a new tensor of the same shape
  at::Tensor operator()(const at::Tensor& x, const RunContext& ctx) const;

 private:
  at::Tensor weight_, bias_;
  double eps_;
  std::shared_ptr<const LayerSlot> slot_;
};

class Embedding {
 public:
  Embedding(const ModuleScope& scope, std::int64_t count, std::int64_t features);
  at::Tensor operator()(const at::Tensor& indices) const;  // int64 [...] -> [..., features]
  at::Tensor first(std::int64_t n) const;                  // rows 0 to n - 1: [n, features]

 private:
  LayerWeight weight_;
  c10::ScalarType dtype_;
};

}  // namespace easel
