#include "models/autoencoders/autoencoder_kl.h"

#include <ATen/ops/clamp.h>

#include "core/text.h"
#include "models/config_reading.h"

namespace easel {
namespace {

constexpr double kMinLogvar = -30.0, kMaxLogvar = 20.0;

void require_blocks(Config& config, const std::string& key, const std::string& supported, std::size_t levels) {
  const auto names = get_names(config, key, {supported});
  for (const auto& name : names) {
    if (name != supported) throw unsupported_field(config, key, concat("is not supported; easel supports ", supported));
  }
  if (names.size() != levels) {
    throw invalid_field(config, key, concat("has ", names.size(), " entries, but `block_out_channels` ", levels));
  }
}

std::optional<std::vector<double>> find_per_channel(Config& config, const std::string& key, std::int64_t channels) {
  auto list = config.find<std::vector<double>>(key);
  if (list && list->size() != static_cast<std::size_t>(channels)) {
    throw invalid_field(config, key, concat("has ", list->size(), " entries, but `latent_channels` is ", channels));
  }
  return list;
}

/// A number, or the first of a list, as the reference reads it; none if the field is absent or empty.
std::optional<std::int64_t> first_of(Config& config, const std::string& key) {
  if (!config.has(key)) return std::nullopt;
  const auto size = config.get_list<std::int64_t>(key, config.raw(key).is_array() ? config.raw(key).size() : 1, 0);
  if (size.empty()) return std::nullopt;
  check_range(config, key, size[0], 1, kMaxChannels);
  return size[0];
}

AutoencoderOptions half_options(const AutoencoderKLConfig& config, std::int64_t in_channels,
                                std::int64_t out_channels) {
  return {.in_channels = in_channels,
          .out_channels = out_channels,
          .block_out_channels = config.block_out_channels,
          .layers_per_block = config.layers_per_block,
          .norm_num_groups = config.norm_num_groups,
          .activation = config.act_fn,
          .mid_block_add_attention = config.mid_block_add_attention};
}

constexpr Conv2dOptions kPointwise{.kernel = 1, .stride = 1, .padding = 0};

}  // namespace

AutoencoderKLConfig AutoencoderKLConfig::from(Config& config) {
  AutoencoderKLConfig c;
  c.in_channels = get_in_range(config, "in_channels", c.in_channels, 1, kMaxChannels);
  c.out_channels = get_in_range(config, "out_channels", c.out_channels, 1, kMaxChannels);
  c.latent_channels = get_in_range(config, "latent_channels", c.latent_channels, 1, kMaxChannels);
  c.block_out_channels = config.get<std::vector<std::int64_t>>("block_out_channels", c.block_out_channels);
  for (const auto channels : c.block_out_channels) check_range(config, "block_out_channels", channels, 1, kMaxChannels);
  require_blocks(config, "down_block_types", "DownEncoderBlock2D", c.block_out_channels.size());
  require_blocks(config, "up_block_types", "UpDecoderBlock2D", c.block_out_channels.size());
  c.layers_per_block = get_in_range(config, "layers_per_block", c.layers_per_block, 1, kMaxLayers);
  c.norm_num_groups = get_in_range(config, "norm_num_groups", c.norm_num_groups, 1, kMaxChannels);
  check_groups(config, c.block_out_channels, c.norm_num_groups);
  c.act_fn = get_activation(config, "act_fn", c.act_fn);
  c.use_quant_conv = config.get<bool>("use_quant_conv", c.use_quant_conv);
  c.use_post_quant_conv = config.get<bool>("use_post_quant_conv", c.use_post_quant_conv);
  c.mid_block_add_attention = config.get<bool>("mid_block_add_attention", c.mid_block_add_attention);
  c.scaling_factor = config.get<double>("scaling_factor", c.scaling_factor);
  if (!(c.scaling_factor > 0)) throw invalid_field(config, "scaling_factor", "must be above 0");
  c.shift_factor = config.find<double>("shift_factor");
  c.latents_mean = find_per_channel(config, "latents_mean", c.latent_channels);
  c.latents_std = find_per_channel(config, "latents_std", c.latent_channels);
  c.force_upcast = config.get<bool>("force_upcast", c.force_upcast);
  c.sample_size = first_of(config, "sample_size");
  config.finish();
  return c;
}

DiagonalGaussianDistribution DiagonalGaussianDistribution::of(const at::Tensor& moments) {
  const auto halves = moments.chunk(2, /*dim=*/1);
  return {.mean = halves[0], .logvar = at::clamp(halves[1], kMinLogvar, kMaxLogvar)};
}

at::Tensor DiagonalGaussianDistribution::sample(const at::Tensor& noise) const {
  return logvar.mul(0.5).exp_().mul_(noise).add_(mean);
}

AutoencoderKL::AutoencoderKL(const AutoencoderKLConfig& config, const ModuleScope& scope)
    : config_(config),
      offload_handle_(scope.offload_handle()),
      encoder_(scope / "encoder", half_options(config, config.in_channels, 2 * config.latent_channels)),
      decoder_(scope / "decoder", half_options(config, config.latent_channels, config.out_channels)) {
  const auto moments = 2 * config.latent_channels;
  if (config.use_quant_conv) quant_conv_.emplace(scope / "quant_conv", moments, moments, kPointwise);
  if (config.use_post_quant_conv) {
    post_quant_conv_.emplace(scope / "post_quant_conv", config.latent_channels, config.latent_channels, kPointwise);
  }
}

at::Tensor AutoencoderKL::moments(const at::Tensor& x, const RunContext& ctx) const {
  offload_handle_.make_resident();
  const auto moments = encoder_(x, ctx);  // [B, 2 latent_channels, h, w]
  return quant_conv_ ? (*quant_conv_)(moments, ctx) : moments;
}

DiagonalGaussianDistribution AutoencoderKL::encode(const at::Tensor& x, const RunContext& ctx) const {
  return DiagonalGaussianDistribution::of(moments(x, ctx));
}

at::Tensor AutoencoderKL::decode(const at::Tensor& z, const RunContext& ctx) const {
  offload_handle_.make_resident();
  return decoder_(post_quant_conv_ ? (*post_quant_conv_)(z, ctx) : z, ctx);  // [B, out_channels, scale h, scale w]
}

}  // namespace easel
