#include "models/unet/k_unet_blocks.h"

#include <ATen/ops/cat.h>

#include <algorithm>
#include <utility>

namespace easel {
namespace {

constexpr std::int64_t kGroupSize = 32;

ResnetCondNormOptions k_resnet_options(const UNet2DConditionConfig& config, std::int64_t in_channels,
                                       std::int64_t hidden_channels, std::int64_t out_channels) {
  return {.in_channels = in_channels,
          .hidden_channels = hidden_channels,
          .out_channels = out_channels,
          .temb_channels = config.temb_channels(),
          .groups = in_channels / kGroupSize,
          .hidden_groups = hidden_channels / kGroupSize,
          .norm_eps = config.norm_eps,
          .activation = config.act_fn};
}

KAttentionOptions attention_options(const UNet2DConditionConfig& config, const UNetLevelConfig& level,
                                    std::int64_t channels, bool self_attention) {
  return {.channels = channels,
          .head_dim = level.head_dim,
          .cross_attention_dim = level.cross_attention_dim,
          .temb_channels = config.temb_channels(),
          .groups = std::max<std::int64_t>(1, channels / kGroupSize),
          .self_attention = self_attention};
}

}  // namespace

KDownBlock::KDownBlock(const ModuleScope& scope, const UNet2DConditionConfig& config, std::size_t level) {
  const auto& here = config.levels[level];
  const bool last = level + 1 == config.levels.size();
  for (std::int64_t i = 0; i < here.layers; ++i) {
    const auto in_channels = i == 0 && level > 0 ? config.levels[level - 1].channels : here.channels;
    resnets_.emplace_back(scope / "resnets" / i, k_resnet_options(config, in_channels, here.channels, here.channels));
    if (here.down_attention) {
      attentions_.emplace_back(scope / "attentions" / i,
                               attention_options(config, here, here.channels, /*self_attention=*/last));
    }
  }
  if (!last) downsampler_.emplace(scope.placement());
}

at::Tensor KDownBlock::operator()(at::Tensor sample, const UNetBlockInputs& block_inputs, at::Tensor& skip,
                                  const RunContext& ctx) const {
  for (std::size_t i = 0; i < resnets_.size(); ++i) {
    sample = resnets_[i](sample, block_inputs.emb, ctx);
    if (!attentions_.empty()) sample = attentions_[i](std::move(sample), block_inputs.emb, block_inputs.prompt, ctx);
  }
  skip = !downsampler_ && !attentions_.empty() ? at::Tensor() : sample;
  return downsampler_ ? (*downsampler_)(sample) : sample;
}

KUpBlock::KUpBlock(const ModuleScope& scope, const UNet2DConditionConfig& config, std::size_t level) {
  const auto& here = config.levels[level];
  const auto channels = here.channels;
  const auto finer = config.levels[level == 0 ? 0 : level - 1].channels;
  const bool first = config.k_up_block_has_no_skip(level);
  for (std::int64_t i = 0; i < here.layers; ++i) {
    const auto in_channels = i > 0 || first ? channels : 2 * channels;
    const auto out_channels = i + 1 == here.layers ? finer : channels;
    // With attention the width changes in the block's last convolution; without attention in the one before.
    auto options = k_resnet_options(config, in_channels, here.up_attention ? channels : out_channels, out_channels);
    options.hidden_groups = channels / kGroupSize;
    resnets_.emplace_back(scope / "resnets" / i, options);
    if (here.up_attention) {
      attentions_.emplace_back(scope / "attentions" / i,
                               attention_options(config, here, out_channels, /*self_attention=*/first));
    }
  }
  if (level > 0) upsampler_.emplace(scope.placement());
}

at::Tensor KUpBlock::operator()(at::Tensor sample, const UNetBlockInputs& block_inputs, const at::Tensor& skip,
                                const RunContext& ctx) const {
  if (skip.defined()) sample = at::cat({sample, skip}, /*dim=*/1);
  for (std::size_t i = 0; i < resnets_.size(); ++i) {
    sample = resnets_[i](sample, block_inputs.emb, ctx);
    if (!attentions_.empty()) sample = attentions_[i](std::move(sample), block_inputs.emb, block_inputs.prompt, ctx);
  }
  return upsampler_ ? (*upsampler_)(sample) : sample;
}

}  // namespace easel
