// The blocks of UNets in the style of k-diffusion, which the latent upscaler uses.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "models/unet/unet_2d_blocks.h"
#include "models/unet/unet_2d_condition_config.h"
#include "nn/module_scope.h"
#include "nn/run_context.h"
#include "nn/unet/k_attention.h"
#include "nn/unet/k_resample.h"
#include "nn/unet/resnet_cond_norm.h"

namespace easel {

/// KDownBlock2D and KCrossAttnDownBlock2D.
class KDownBlock {
 public:
  KDownBlock(const ModuleScope& scope, const UNet2DConditionConfig& config, std::size_t level);
  /// @param skip  receives the input of the counterpart on the way up; undefined if that takes none
  at::Tensor operator()(at::Tensor sample, const UNetBlockInputs& block_inputs, at::Tensor& skip,
                        const RunContext& ctx) const;  // [B, C, H, W] -> [B, channels, H / 2, W / 2], or as large

 private:
  std::vector<ResnetBlockCondNorm2D> resnets_;
  std::vector<KAttentionBlock> attentions_;  // empty, or one per resnet
  std::optional<KDownsample2D> downsampler_;
};

/// KUpBlock2D and KCrossAttnUpBlock2D.
class KUpBlock {
 public:
  KUpBlock(const ModuleScope& scope, const UNet2DConditionConfig& config, std::size_t level);
  at::Tensor operator()(at::Tensor sample, const UNetBlockInputs& block_inputs, const at::Tensor& skip,
                        const RunContext& ctx) const;  // [B, C, H, W] -> [B, channels, 2 H, 2 W], or as large

 private:
  std::vector<ResnetBlockCondNorm2D> resnets_;
  std::vector<KAttentionBlock> attentions_;  // empty, or one per resnet
  std::optional<KUpsample2D> upsampler_;
};

}  // namespace easel
