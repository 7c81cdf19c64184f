// The residual block of UNets in the style of k-diffusion: the timestep embedding scales and shifts every norm.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "nn/activation.h"
#include "nn/layers.h"
#include "nn/run_context.h"

namespace easel {

struct AdaGroupNormOptions {
  std::int64_t embedding_dim;
  std::int64_t channels;
  std::int64_t groups;
  double eps = 1e-5;
};

/// Group norm without weights of its own; each channel's scale and shift are computed from an embedding.
class AdaGroupNorm {
 public:
  AdaGroupNorm(const ModuleScope& scope, const AdaGroupNormOptions& options);
  /// @param x    [B, channels, H, W]; not modified
  /// @param emb  [B, embedding_dim]
  /// @return     a new tensor of x's shape
  at::Tensor operator()(const at::Tensor& x, const at::Tensor& emb, const RunContext& ctx) const;

 private:
  Linear linear_;
  std::int64_t groups_;
  double eps_;
};

struct ResnetCondNormOptions {
  std::int64_t in_channels;
  std::int64_t hidden_channels;  ///< between the two convolutions
  std::int64_t out_channels;
  std::int64_t temb_channels;
  std::int64_t groups;         ///< of in_channels
  std::int64_t hidden_groups;  ///< of hidden_channels
  double norm_eps;
  Activation activation;
};

/// diffusers' ResnetBlockCondNorm2D with "ada_group".
class ResnetBlockCondNorm2D {
 public:
  ResnetBlockCondNorm2D(const ModuleScope& scope, const ResnetCondNormOptions& options);
  /// @param input  [B, in_channels, H, W]; not modified
  /// @param temb   [B, temb_channels]
  /// @return       [B, out_channels, H, W]
  at::Tensor operator()(const at::Tensor& input, const at::Tensor& temb, const RunContext& ctx) const;

 private:
  AdaGroupNorm norm1_, norm2_;
  Conv2d conv1_, conv2_;
  std::optional<Conv2d> conv_shortcut_;
  Activation activation_;
};

}  // namespace easel
