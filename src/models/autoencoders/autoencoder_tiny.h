// The two halves of AutoencoderTiny, a small autoencoder that was trained to agree with a large one.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "core/config.h"
#include "nn/activation.h"
#include "nn/layers.h"
#include "nn/module_scope.h"
#include "nn/run_context.h"

namespace easel {

/// The sizes of an AutoencoderTiny. Names and defaults are diffusers'. Both halves have the same number of levels.
struct AutoencoderTinyConfig {
  std::int64_t in_channels = 3;
  std::int64_t out_channels = 3;
  std::int64_t latent_channels = 4;
  std::vector<std::int64_t> encoder_block_out_channels = {64, 64, 64, 64};  ///< from the pixels to the latents
  std::vector<std::int64_t> decoder_block_out_channels = {64, 64, 64, 64};  ///< from the latents to the pixels
  std::vector<std::int64_t> num_encoder_blocks = {1, 3, 3, 3};              ///< residual blocks of each level
  std::vector<std::int64_t> num_decoder_blocks = {3, 3, 3, 1};
  Activation act_fn = Activation::kRelu;

  /// Reads the fields above, without Config::finish. @throws Error(kCorruptData, kUnsupported)  names the field
  static AutoencoderTinyConfig from(Config& config);
};

/// Three convolutions of 3 x 3 with a residual connection.
class AutoencoderTinyBlock {
 public:
  AutoencoderTinyBlock(const ModuleScope& scope, std::int64_t channels, Activation activation);
  at::Tensor operator()(const at::Tensor& x, const RunContext& ctx) const;  // [B, channels, H, W] -> the same shape

 private:
  Conv2d first_, second_, third_;
  Activation activation_;
};

/// Encodes pixels to latents. Numbers agree with diffusers 0.42.1, vae.py.
class EncoderTiny {
 public:
  EncoderTiny(const ModuleScope& scope, const AutoencoderTinyConfig& config);
  /// @param x  [B, in_channels, H, W] within -1 to 1
  /// @return   [B, latent_channels, about H / scale, about W / scale]
  /// @throws Error(kCancelled)
  at::Tensor operator()(const at::Tensor& x, const RunContext& ctx) const;

 private:
  struct Level {
    Conv2d conv;
    std::vector<AutoencoderTinyBlock> blocks;
  };
  std::vector<Level> levels_;
  std::optional<Conv2d> conv_out_;
};

/// Decodes latents to pixels. Numbers agree with diffusers 0.42.1, vae.py.
class DecoderTiny {
 public:
  DecoderTiny(const ModuleScope& scope, const AutoencoderTinyConfig& config);
  /// @param z  [B, latent_channels, h, w]
  /// @return   [B, out_channels, scale h, scale w], about -1 to 1
  /// @throws Error(kCancelled)
  at::Tensor operator()(const at::Tensor& z, const RunContext& ctx) const;

 private:
  struct Level {
    std::vector<AutoencoderTinyBlock> blocks;
    Conv2d conv;
  };
  Conv2d conv_in_;
  Activation activation_;
  std::vector<Level> levels_;
};

}  // namespace easel
