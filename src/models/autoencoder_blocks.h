// The two halves of AutoencoderKL.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "nn/attention.h"
#include "nn/layers.h"
#include "nn/resample.h"
#include "nn/resnet.h"
#include "nn/run_context.h"
#include "weights/loading/weights.h"

namespace easel {

/// The sizes of either half.
struct AutoencoderOptions {
  std::int64_t in_channels;
  std::int64_t out_channels;
  std::vector<std::int64_t> block_out_channels;  ///< from the pixels' side
  std::int64_t layers_per_block;                 ///< residual blocks a level; the decoder has one more
  std::int64_t norm_num_groups;
  Activation activation;
  bool mid_block_add_attention;
};

/// Self-attention over all cells with a single head, after a GroupNorm, with a residual.
class SpatialAttention {
 public:
  SpatialAttention(const WeightScope& scope, std::int64_t channels, std::int64_t norm_num_groups);
  at::Tensor operator()(const at::Tensor& x) const;  // [B, C, H, W] -> the same shape

 private:
  GroupNorm group_norm_;
  Attention attention_;
};

/// diffusers' UNetMidBlock2D as an autoencoder uses it.
class AutoencoderMidBlock {
 public:
  AutoencoderMidBlock(const WeightScope& scope, const AutoencoderOptions& options);
  at::Tensor operator()(at::Tensor x, const RunContext& ctx) const;  // [B, C, H, W] -> the same shape

 private:
  ResnetBlock2D first_, second_;
  std::optional<SpatialAttention> attention_;
};

/// Pixels to the moments of latents.
class Encoder {
 public:
  /// options.out_channels: of what comes out, mean and logarithm of the variance together
  Encoder(const WeightScope& scope, const AutoencoderOptions& options);
  at::Tensor operator()(const at::Tensor& x, const RunContext& ctx) const;

 private:
  struct Level {
    std::vector<ResnetBlock2D> resnets;
    std::optional<Downsample2D> downsampler;
  };
  Conv2d conv_in_;
  std::vector<Level> levels_;
  AutoencoderMidBlock mid_block_;
  GroupNorm conv_norm_out_;
  Conv2d conv_out_;
};

/// Latents to pixels.
class Decoder {
 public:
  Decoder(const WeightScope& scope, const AutoencoderOptions& options);
  at::Tensor operator()(const at::Tensor& z, const RunContext& ctx) const;

 private:
  struct Level {
    std::vector<ResnetBlock2D> resnets;
    std::optional<Upsample2D> upsampler;
  };
  Conv2d conv_in_;
  AutoencoderMidBlock mid_block_;
  std::vector<Level> levels_;
  GroupNorm conv_norm_out_;
  Conv2d conv_out_;
};

}  // namespace easel
