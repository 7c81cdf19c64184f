#include "models/autoencoders/autoencoder_tiny.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/tanh.h>

#include <utility>

#include "core/text.h"
#include "models/config_reading.h"
#include "nn/unet/resample.h"

namespace easel {
namespace {

// Latents are limited to this magnitude, softly.
constexpr double kLatentLimit = 3;

std::vector<std::int64_t> get_levels(Config& config, const std::string& key, const std::vector<std::int64_t>& fallback,
                                     std::int64_t low, std::int64_t high) {
  auto levels = config.get<std::vector<std::int64_t>>(key, fallback);
  check_range(config, key, static_cast<std::int64_t>(levels.size()), 1, kMaxLevels);
  for (const auto number : levels) check_range(config, key, number, low, high);
  return levels;
}

/// In the reference, a convolution that changes the number of channels is missing between two levels.
void require_equal(const Config& config, const std::string& key, const std::vector<std::int64_t>& channels) {
  for (const auto count : channels) {
    if (count != channels.front()) throw unsupported_field(config, key, "must be a list of equal numbers");
  }
}

std::vector<AutoencoderTinyBlock> make_blocks(const ModuleScope& layers, std::int64_t& next, std::int64_t count,
                                              std::int64_t channels, Activation activation) {
  std::vector<AutoencoderTinyBlock> blocks;
  for (std::int64_t i = 0; i < count; ++i) blocks.emplace_back(layers / next++, channels, activation);
  return blocks;
}

}  // namespace

AutoencoderTinyConfig AutoencoderTinyConfig::from(Config& config) {
  AutoencoderTinyConfig c;
  c.in_channels = get_in_range(config, "in_channels", c.in_channels, 1, kMaxChannels);
  c.out_channels = get_in_range(config, "out_channels", c.out_channels, 1, kMaxChannels);
  c.latent_channels = get_in_range(config, "latent_channels", c.latent_channels, 1, kMaxChannels);
  for (auto [key, channels] : {std::pair{"encoder_block_out_channels", &c.encoder_block_out_channels},
                               {"decoder_block_out_channels", &c.decoder_block_out_channels}}) {
    *channels = get_levels(config, key, *channels, 1, kMaxChannels);
    require_equal(config, key, *channels);
  }
  const auto levels = c.encoder_block_out_channels.size();
  for (auto [key, blocks] :
       {std::pair{"num_encoder_blocks", &c.num_encoder_blocks}, {"num_decoder_blocks", &c.num_decoder_blocks}}) {
    *blocks = get_levels(config, key, *blocks, 0, kMaxLayers);
    if (blocks->size() != levels || c.decoder_block_out_channels.size() != levels) {
      throw invalid_field(config, key,
                          concat("has ", blocks->size(), " entries, but `encoder_block_out_channels` ", levels,
                                 " and `decoder_block_out_channels` ", c.decoder_block_out_channels.size()));
    }
  }
  c.act_fn = get_activation(config, "act_fn", c.act_fn);
  config.require("upsampling_scaling_factor", {2});
  config.require("upsample_fn", {"nearest"});
  // Older releases wrote the first; the others are about storing latents as bytes.
  config.ignore({"block_out_channels", "latent_magnitude", "latent_shift"});
  return c;
}

AutoencoderTinyBlock::AutoencoderTinyBlock(const ModuleScope& scope, std::int64_t channels, Activation activation)
    : first_(scope / "conv" / 0, channels, channels),
      second_(scope / "conv" / 2, channels, channels),
      third_(scope / "conv" / 4, channels, channels),
      activation_(activation) {}

at::Tensor AutoencoderTinyBlock::operator()(const at::Tensor& x, const RunContext& ctx) const {
  ctx.throw_if_cancelled();
  auto hidden = activate_in_place(activation_, first_(x, ctx));
  hidden = activate_in_place(activation_, second_(hidden, ctx));
  hidden = third_(hidden, ctx);
  return at::relu_(hidden.add_(x));
}

EncoderTiny::EncoderTiny(const ModuleScope& scope, const AutoencoderTinyConfig& config) {
  const auto layers = scope / "layers";
  std::int64_t next = 0;
  for (std::size_t i = 0; i < config.num_encoder_blocks.size(); ++i) {
    const auto channels = config.encoder_block_out_channels[i];
    const auto at = layers / next++;
    Conv2d conv = i == 0
                      ? Conv2d(at, config.in_channels, channels)
                      : Conv2d(at, channels, channels, {.kernel = 3, .stride = 2, .padding = 1, .bias = Bias::kNone});
    levels_.push_back({.conv = std::move(conv), .blocks = {}});
    levels_.back().blocks = make_blocks(layers, next, config.num_encoder_blocks[i], channels, config.act_fn);
  }
  conv_out_.emplace(layers / next, config.encoder_block_out_channels.back(), config.latent_channels);
}

at::Tensor EncoderTiny::operator()(const at::Tensor& x, const RunContext& ctx) const {
  auto sample = x.contiguous(at::MemoryFormat::ChannelsLast).add(1).div_(2);
  for (const auto& level : levels_) {
    sample = level.conv(sample, ctx);
    for (const auto& block : level.blocks) sample = block(sample, ctx);
  }
  return (*conv_out_)(sample, ctx);
}

DecoderTiny::DecoderTiny(const ModuleScope& scope, const AutoencoderTinyConfig& config)
    : conv_in_(scope / "layers" / 0, config.latent_channels, config.decoder_block_out_channels.front()),
      activation_(config.act_fn) {
  const auto layers = scope / "layers";
  std::int64_t next = 2;  // after the first convolution and its activation
  for (std::size_t i = 0; i < config.num_decoder_blocks.size(); ++i) {
    const auto channels = config.decoder_block_out_channels[i];
    const bool last = i + 1 == config.num_decoder_blocks.size();
    auto blocks = make_blocks(layers, next, config.num_decoder_blocks[i], channels, config.act_fn);
    if (!last) ++next;  // the layer that doubles the size has no weights
    levels_.push_back({.blocks = std::move(blocks),
                       .conv = Conv2d(layers / next++, channels, last ? config.out_channels : channels,
                                      {.bias = last ? Bias::kPresent : Bias::kNone})});
  }
}

at::Tensor DecoderTiny::operator()(const at::Tensor& z, const RunContext& ctx) const {
  const auto limited = at::tanh(z.contiguous(at::MemoryFormat::ChannelsLast).div(kLatentLimit)).mul_(kLatentLimit);
  auto sample = activate_in_place(activation_, conv_in_(limited, ctx));
  for (const auto& level : levels_) {
    for (const auto& block : level.blocks) sample = block(sample, ctx);
    const bool last = &level == &levels_.back();
    if (!last) sample = upsample_nearest(sample, {2 * sample.size(2), 2 * sample.size(3)});
    sample = level.conv(sample, ctx);
  }
  return sample.mul_(2).sub_(1);
}

}  // namespace easel
