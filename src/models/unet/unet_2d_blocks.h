// The blocks of UNet2DConditionModel, each with or without cross-attention.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "models/unet/unet_2d_condition_config.h"
#include "nn/module_scope.h"
#include "nn/run_context.h"
#include "nn/unet/resample.h"
#include "nn/unet/resnet.h"
#include "nn/unet/transformer_2d.h"

namespace easel {

/// The inputs that all blocks of one call share.
struct UNetBlockInputs {
  at::Tensor emb;  ///< [B, temb_channels]
  Conditioning prompt;
};

/// DownBlock2D and CrossAttnDownBlock2D.
class UNetDownBlock {
 public:
  UNetDownBlock(const ModuleScope& scope, const UNet2DConditionConfig& config, std::size_t level);
  /// @param skips  receives the output of each layer, in order
  at::Tensor operator()(at::Tensor sample, const UNetBlockInputs& block_inputs, std::vector<at::Tensor>& skips,
                        const RunContext& ctx) const;  // [B, C, H, W] -> [B, channels, about H / 2, about W / 2]

 private:
  std::vector<ResnetBlock2D> resnets_;
  std::vector<Transformer2DModel> attentions_;  // empty, or one per resnet
  std::optional<Downsample2D> downsampler_;
};

/// UNetMidBlock2DCrossAttn, and UNetMidBlock2D as a UNet uses it: a single residual block.
class UNetMidBlock {
 public:
  UNetMidBlock(const ModuleScope& scope, const UNet2DConditionConfig& config);
  at::Tensor operator()(at::Tensor sample, const UNetBlockInputs& block_inputs,
                        const RunContext& ctx) const;  // [B, C, H, W] -> the same shape

 private:
  std::vector<ResnetBlock2D> resnets_;
  std::vector<Transformer2DModel> attentions_;  // one fewer than resnets
};

/// UpBlock2D and CrossAttnUpBlock2D.
class UNetUpBlock {
 public:
  UNetUpBlock(const ModuleScope& scope, const UNet2DConditionConfig& config, std::size_t level);
  /// @param skips  one entry per layer is removed from its end; the next one determines the size of the result
  at::Tensor operator()(at::Tensor sample, const UNetBlockInputs& block_inputs, std::vector<at::Tensor>& skips,
                        const RunContext& ctx) const;  // [B, C, H, W] -> [B, channels, about 2 H, about 2 W]

 private:
  std::vector<ResnetBlock2D> resnets_;
  std::vector<Transformer2DModel> attentions_;  // empty, or one per resnet
  std::optional<Upsample2D> upsampler_;
};

}  // namespace easel
