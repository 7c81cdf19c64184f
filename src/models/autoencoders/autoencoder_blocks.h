// The two halves of AutoencoderKL.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "nn/attention.h"
#include "nn/layers.h"
#include "nn/module_scope.h"
#include "nn/run_context.h"
#include "nn/unet/resample.h"
#include "nn/unet/resnet.h"

namespace easel {

/// The sizes of the encoder or the decoder.
struct AutoencoderOptions {
  std::int64_t in_channels;
  std::int64_t out_channels;
  std::vector<std::int64_t> block_out_channels;  ///< from the pixels to the latents
  std::int64_t layers_per_block;                 ///< residual blocks per level; the decoder has one more
  std::int64_t norm_num_groups;
  Activation activation;
  bool mid_block_add_attention;
};

/// Self-attention over all cells with a single head, after a GroupNorm and with a residual connection.
class SpatialAttention {
 public:
  SpatialAttention(const ModuleScope& scope, std::int64_t channels, std::int64_t norm_num_groups);
  at::Tensor operator()(const at::Tensor& x, const RunContext& ctx) const;  // [B, C, H, W] -> the same shape

 private:
  GroupNorm group_norm_;
  Attention attention_;
};

/// diffusers' UNetMidBlock2D in the form that autoencoders use.
class AutoencoderMidBlock {
 public:
  AutoencoderMidBlock(const ModuleScope& scope, const AutoencoderOptions& options);
  at::Tensor operator()(at::Tensor x, const RunContext& ctx) const;  // [B, C, H, W] -> the same shape

 private:
  ResnetBlock2D first_, second_;
  std::optional<SpatialAttention> attention_;
};

/// Encodes pixels to the moments of latents.
class Encoder {
 public:
  /// @param options  out_channels counts the mean and the logarithm of the variance
  Encoder(const ModuleScope& scope, const AutoencoderOptions& options);
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

/// Decodes latents to pixels.
class Decoder {
 public:
  Decoder(const ModuleScope& scope, const AutoencoderOptions& options);
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
