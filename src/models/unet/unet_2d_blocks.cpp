#include "models/unet/unet_2d_blocks.h"

#include <ATen/ops/cat.h>

#include <algorithm>

namespace easel {
namespace {

ResnetOptions resnet_options(const UNet2DConditionConfig& config, std::int64_t in_channels, std::int64_t out_channels) {
  return {.in_channels = in_channels,
          .out_channels = out_channels,
          .temb_channels = config.temb_channels(),
          .norm_num_groups = config.norm_num_groups,
          .norm_eps = config.norm_eps,
          .activation = config.act_fn,
          .time_embedding_norm = config.resnet_time_scale_shift};
}

TransformerOptions transformer_options(const UNet2DConditionConfig& config, const UNetLevelConfig& level,
                                       bool only_cross_attention) {
  return {.channels = level.channels,
          .heads = level.heads,
          .cross_attention_dim = level.cross_attention_dim,
          .norm_num_groups = config.norm_num_groups,
          .use_linear_projection = config.use_linear_projection,
          .only_cross_attention = only_cross_attention};
}

}  // namespace

UNetDownBlock::UNetDownBlock(const ModuleScope& scope, const UNet2DConditionConfig& config, std::size_t level) {
  const auto& here = config.levels[level];
  for (std::int64_t i = 0; i < here.layers; ++i) {
    const auto in_channels = i == 0 && level > 0 ? config.levels[level - 1].channels : here.channels;
    resnets_.emplace_back(scope / "resnets" / i, resnet_options(config, in_channels, here.channels));
    if (here.down_attention) {
      attentions_.emplace_back(scope / "attentions" / i, transformer_options(config, here, here.only_cross_attention),
                               here.down_transformer_layers[i]);
    }
  }
  if (level + 1 < config.levels.size()) {
    downsampler_.emplace(scope / "downsamplers" / 0, here.channels, config.downsample_padding);
  }
}

at::Tensor UNetDownBlock::operator()(at::Tensor sample, const UNetBlockInputs& block_inputs,
                                     std::vector<at::Tensor>& skips, const RunContext& ctx) const {
  for (std::size_t i = 0; i < resnets_.size(); ++i) {
    sample = resnets_[i](sample, block_inputs.emb, ctx);
    if (!attentions_.empty()) sample = attentions_[i](sample, block_inputs.prompt, ctx);
    skips.push_back(sample);
  }
  if (downsampler_) {
    sample = (*downsampler_)(sample, ctx);
    skips.push_back(sample);
  }
  return sample;
}

UNetMidBlock::UNetMidBlock(const ModuleScope& scope, const UNet2DConditionConfig& config) {
  const auto& here = config.levels.back();
  const bool attention = config.mid_block_type == UNetMidBlockType::kCrossAttention;
  auto options = resnet_options(config, here.channels, here.channels);
  options.output_scale_factor = config.mid_block_scale_factor;
  for (std::int64_t i = 0; i < (attention ? 2 : 1); ++i) resnets_.emplace_back(scope / "resnets" / i, options);
  if (attention) {
    attentions_.emplace_back(scope / "attentions" / 0,
                             transformer_options(config, here, /*only_cross_attention=*/false),
                             config.mid_transformer_layers);
  }
}

at::Tensor UNetMidBlock::operator()(at::Tensor sample, const UNetBlockInputs& block_inputs,
                                    const RunContext& ctx) const {
  sample = resnets_[0](sample, block_inputs.emb, ctx);
  for (std::size_t i = 0; i < attentions_.size(); ++i) {
    sample = attentions_[i](sample, block_inputs.prompt, ctx);
    sample = resnets_[i + 1](sample, block_inputs.emb, ctx);
  }
  return sample;
}

UNetUpBlock::UNetUpBlock(const ModuleScope& scope, const UNet2DConditionConfig& config, std::size_t level) {
  const auto& here = config.levels[level];
  const auto coarser = config.levels[std::min(level + 1, config.levels.size() - 1)].channels;
  const auto finer = config.levels[level == 0 ? 0 : level - 1].channels;
  for (std::int64_t i = 0; i <= here.layers; ++i) {
    const auto from_below = i == 0 ? coarser : here.channels;
    // The last skip is the input of this level's first layer on the way down, so it has the finer level's width.
    const auto from_skip = i == here.layers ? finer : here.channels;
    resnets_.emplace_back(scope / "resnets" / i, resnet_options(config, from_below + from_skip, here.channels));
    if (here.up_attention) {
      attentions_.emplace_back(scope / "attentions" / i, transformer_options(config, here, here.only_cross_attention),
                               here.up_transformer_layers[i]);
    }
  }
  if (level > 0) upsampler_.emplace(scope / "upsamplers" / 0, here.channels);
}

at::Tensor UNetUpBlock::operator()(at::Tensor sample, const UNetBlockInputs& block_inputs,
                                   std::vector<at::Tensor>& skips, const RunContext& ctx) const {
  for (std::size_t i = 0; i < resnets_.size(); ++i) {
    sample = at::cat({sample, skips.back()}, /*dim=*/1);
    skips.pop_back();
    sample = resnets_[i](sample, block_inputs.emb, ctx);
    if (!attentions_.empty()) sample = attentions_[i](sample, block_inputs.prompt, ctx);
  }
  return upsampler_ ? (*upsampler_)(sample, {skips.back().size(2), skips.back().size(3)}, ctx) : sample;
}

}  // namespace easel
