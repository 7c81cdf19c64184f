// The residual block of UNets and autoencoders.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "nn/activation.h"
#include "nn/layers.h"
#include "nn/run_context.h"

namespace easel {

/// How the timestep embedding enters a residual block.
enum class TimeEmbeddingNorm {
  kDefault,     ///< added before the second norm
  kScaleShift,  ///< scales and shifts after it
};

struct ResnetOptions {
  std::int64_t in_channels;
  std::int64_t out_channels;
  std::optional<std::int64_t> temb_channels;  ///< none: the block takes no timestep (VAE)
  std::int64_t norm_num_groups = 32;
  double norm_eps = 1e-6;
  Activation activation = Activation::kSilu;
  TimeEmbeddingNorm time_embedding_norm = TimeEmbeddingNorm::kDefault;
  double output_scale_factor = 1.0;
};

/// diffusers' ResnetBlock2D.
class ResnetBlock2D {
 public:
  ResnetBlock2D(const ModuleScope& scope, const ResnetOptions& options);
  /// @param input  [B, in_channels, H, W]; not modified
  /// @param temb   [B, temb_channels]; undefined if the block takes none
  /// @return       [B, out_channels, H, W]
  at::Tensor operator()(const at::Tensor& input, const at::Tensor& temb, const RunContext& ctx) const;

 private:
  GroupNorm norm1_, norm2_;
  Conv2d conv1_, conv2_;
  std::optional<Linear> time_emb_proj_;
  std::optional<Conv2d> conv_shortcut_;
  ResnetOptions options_;
};

}  // namespace easel
