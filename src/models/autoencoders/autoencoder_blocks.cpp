#include "models/autoencoders/autoencoder_blocks.h"

#include <ATen/ops/silu.h>

#include "nn/layout.h"

namespace easel {
namespace {

constexpr double kNormEps = 1e-6;

ResnetOptions autoencoder_resnet_options(const AutoencoderOptions& options, std::int64_t in_channels,
                                         std::int64_t out_channels) {
  return {.in_channels = in_channels,
          .out_channels = out_channels,
          .temb_channels = std::nullopt,
          .norm_num_groups = options.norm_num_groups,
          .norm_eps = kNormEps,
          .activation = options.activation};
}

std::vector<ResnetBlock2D> resnets(const ModuleScope& scope, const AutoencoderOptions& options, std::int64_t count,
                                   std::int64_t in_channels, std::int64_t out_channels) {
  std::vector<ResnetBlock2D> blocks;
  for (std::int64_t i = 0; i < count; ++i) {
    blocks.emplace_back(scope / "resnets" / i,
                        autoencoder_resnet_options(options, i == 0 ? in_channels : out_channels, out_channels));
  }
  return blocks;
}

AttentionOptions single_head(std::int64_t channels) {
  return {.query_dim = channels,
          .context_dim = channels,
          .heads = 1,
          .head_dim = channels,
          .projection_bias = Bias::kPresent};
}

}  // namespace

SpatialAttention::SpatialAttention(const ModuleScope& scope, std::int64_t channels, std::int64_t norm_num_groups)
    : group_norm_(scope / "group_norm", norm_num_groups, channels, kNormEps),
      attention_(scope, single_head(channels)) {}

at::Tensor SpatialAttention::operator()(const at::Tensor& x, const RunContext& ctx) const {
  const auto tokens = to_tokens(group_norm_(x, ctx));  // [B, HW, C]
  return to_map(attention_(tokens, tokens, /*bias=*/{}, ctx), x.size(2), x.size(3)).add_(x);
}

AutoencoderMidBlock::AutoencoderMidBlock(const ModuleScope& scope, const AutoencoderOptions& options)
    : first_(scope / "resnets" / 0,
             autoencoder_resnet_options(options, options.block_out_channels.back(), options.block_out_channels.back())),
      second_(scope / "resnets" / 1, autoencoder_resnet_options(options, options.block_out_channels.back(),
                                                                options.block_out_channels.back())) {
  if (options.mid_block_add_attention) {
    attention_.emplace(scope / "attentions" / 0, options.block_out_channels.back(), options.norm_num_groups);
  }
}

at::Tensor AutoencoderMidBlock::operator()(at::Tensor x, const RunContext& ctx) const {
  x = first_(x, /*temb=*/{}, ctx);
  if (attention_) x = (*attention_)(x, ctx);
  return second_(x, /*temb=*/{}, ctx);
}

Encoder::Encoder(const ModuleScope& scope, const AutoencoderOptions& options)
    : conv_in_(scope / "conv_in", options.in_channels, options.block_out_channels.front()),
      mid_block_(scope / "mid_block", options),
      conv_norm_out_(scope / "conv_norm_out", options.norm_num_groups, options.block_out_channels.back(), kNormEps),
      conv_out_(scope / "conv_out", options.block_out_channels.back(), options.out_channels) {
  const auto& channels = options.block_out_channels;
  for (std::size_t i = 0; i < channels.size(); ++i) {
    const auto block = scope / "down_blocks" / static_cast<std::int64_t>(i);
    levels_.push_back(
        {resnets(block, options, options.layers_per_block, channels[i == 0 ? 0 : i - 1], channels[i]), {}});
    if (i + 1 < channels.size()) {
      levels_.back().downsampler.emplace(block / "downsamplers" / 0, channels[i], /*padding=*/0);
    }
  }
}

at::Tensor Encoder::operator()(const at::Tensor& x, const RunContext& ctx) const {
  auto sample = conv_in_(x.contiguous(at::MemoryFormat::ChannelsLast), ctx);  // [B, block_out_channels[0], H, W]
  for (const auto& level : levels_) {
    for (const auto& resnet : level.resnets) sample = resnet(sample, /*temb=*/{}, ctx);
    if (level.downsampler) sample = (*level.downsampler)(sample, ctx);
  }
  sample = mid_block_(std::move(sample), ctx);
  sample = conv_norm_out_(sample, ctx);
  return conv_out_(at::silu_(sample), ctx);
}

Decoder::Decoder(const ModuleScope& scope, const AutoencoderOptions& options)
    : conv_in_(scope / "conv_in", options.in_channels, options.block_out_channels.back()),
      mid_block_(scope / "mid_block", options),
      conv_norm_out_(scope / "conv_norm_out", options.norm_num_groups, options.block_out_channels.front(), kNormEps),
      conv_out_(scope / "conv_out", options.block_out_channels.front(), options.out_channels) {
  const std::vector<std::int64_t> channels(options.block_out_channels.rbegin(), options.block_out_channels.rend());
  for (std::size_t i = 0; i < channels.size(); ++i) {
    const auto block = scope / "up_blocks" / static_cast<std::int64_t>(i);
    levels_.push_back(
        {resnets(block, options, options.layers_per_block + 1, channels[i == 0 ? 0 : i - 1], channels[i]), {}});
    if (i + 1 < channels.size()) levels_.back().upsampler.emplace(block / "upsamplers" / 0, channels[i]);
  }
}

at::Tensor Decoder::operator()(const at::Tensor& z, const RunContext& ctx) const {
  auto sample = conv_in_(z.contiguous(at::MemoryFormat::ChannelsLast), ctx);  // [B, block_out_channels[-1], h, w]
  sample = mid_block_(std::move(sample), ctx);
  for (const auto& level : levels_) {
    for (const auto& resnet : level.resnets) sample = resnet(sample, /*temb=*/{}, ctx);
    if (level.upsampler) sample = (*level.upsampler)(sample, {2 * sample.size(2), 2 * sample.size(3)}, ctx);
  }
  ctx.throw_if_cancelled();
  sample = conv_norm_out_(sample, ctx);
  return conv_out_(at::silu_(sample), ctx);
}

}  // namespace easel
