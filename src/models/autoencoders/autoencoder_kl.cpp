#include "models/autoencoders/autoencoder_kl.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/sqrt.h>

#include "core/text.h"
#include "models/config_reading.h"

namespace easel {
namespace {

constexpr double kMinLogvar = -30.0, kMaxLogvar = 20.0;

/// @param count  of the blocks where the field is absent
void require_blocks(Config& config, const std::string& key, const std::string& supported, std::size_t count,
                    std::size_t levels) {
  const std::vector<std::string> fallback(count, supported);
  const auto names = get_names(config, key, fallback);
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

AutoencoderOptions half_options(const AutoencoderKLConfig& config, const std::vector<std::int64_t>& block_out_channels,
                                std::int64_t in_channels, std::int64_t out_channels) {
  return {.in_channels = in_channels,
          .out_channels = out_channels,
          .block_out_channels = block_out_channels,
          .layers_per_block = config.layers_per_block,
          .norm_num_groups = config.norm_num_groups,
          .activation = config.act_fn,
          .mid_block_add_attention = config.mid_block_add_attention};
}

constexpr Conv2dOptions kPointwise{.kernel = 1, .stride = 1, .padding = 0};

constexpr std::int64_t kFlux2Patch = 2;

/// The defaults of AutoencoderKLFlux2, and its fields that AutoencoderKL does not have.
AutoencoderKLConfig flux2_config(Config& config) {
  AutoencoderKLConfig c;
  c.latent_channels = 32;
  c.block_out_channels = {128, 256, 512, 512};
  c.layers_per_block = 2;
  c.sample_size = 1024;
  c.scaling_factor = 1.0;
  config.require("patch_size", {nlohmann::json::array({kFlux2Patch, kFlux2Patch})});
  c.patch_size = kFlux2Patch;
  config.ignore({"batch_norm_momentum"});
  c.batch_norm_eps = config.get<double>("batch_norm_eps", c.batch_norm_eps);
  if (!(c.batch_norm_eps >= 0)) throw invalid_field(config, "batch_norm_eps", "must not be negative");
  c.decoder_block_out_channels = config.find<std::vector<std::int64_t>>("decoder_block_out_channels");
  return c;
}

/// AutoencoderTiny has no fields for pipelines but the factors.
AutoencoderKLConfig tiny_config(Config& config) {
  constexpr std::int64_t kTile = 512;  // pixels
  const auto tiny = AutoencoderTinyConfig::from(config);
  AutoencoderKLConfig c;
  c.in_channels = tiny.in_channels;
  c.out_channels = tiny.out_channels;
  c.latent_channels = tiny.latent_channels;
  c.block_out_channels = tiny.encoder_block_out_channels;
  c.use_quant_conv = c.use_post_quant_conv = false;
  c.tiny = tiny;
  c.scaling_factor = config.get<double>("scaling_factor", 1.0);
  c.shift_factor = config.get<double>("shift_factor", 0.0);
  c.sample_size = kTile;
  c.force_upcast = false;  // the reference sets it so, whatever the file says
  config.ignore({"force_upcast"});
  return c;
}

std::variant<Encoder, EncoderTiny> make_encoder(const ModuleScope& scope, const AutoencoderKLConfig& config) {
  if (config.tiny) return EncoderTiny(scope, *config.tiny);
  return Encoder(scope, half_options(config, config.block_out_channels, config.in_channels, config.moments()));
}

std::variant<Decoder, DecoderTiny> make_decoder(const ModuleScope& scope, const AutoencoderKLConfig& config) {
  if (config.tiny) return DecoderTiny(scope, *config.tiny);
  return Decoder(scope, half_options(config, config.decoder_block_out_channels.value_or(config.block_out_channels),
                                     config.latent_channels, config.out_channels));
}

void check_decoder_channels(const Config& config, const AutoencoderKLConfig& c) {
  if (!c.decoder_block_out_channels) return;
  const auto& channels = *c.decoder_block_out_channels;
  if (channels.size() != c.block_out_channels.size()) {
    throw invalid_field(
        config, "decoder_block_out_channels",
        concat("has ", channels.size(), " entries, but `block_out_channels` ", c.block_out_channels.size()));
  }
  for (const auto count : channels) check_range(config, "decoder_block_out_channels", count, 1, kMaxChannels);
  check_groups(config, channels, c.norm_num_groups);
}

at::Tensor per_patch_channel(const at::Tensor& numbers, const at::Tensor& like) {
  return numbers.view({1, -1, 1, 1}).to(like.device(), like.scalar_type());
}

/// Images that are made from prompts only never need the encoder.
ModuleScope encoder_scope(const ModuleScope& scope) {
  auto encoder = scope / "encoder";
  encoder.prepare_at_first_use();
  return encoder;
}

}  // namespace

AutoencoderKLConfig AutoencoderKLConfig::from(Config& config) {
  if (config.raw("_class_name") == "AutoencoderTiny") {
    auto c = tiny_config(config);
    if (!(c.scaling_factor > 0)) throw invalid_field(config, "scaling_factor", "must be above 0");
    config.finish();
    return c;
  }
  const bool flux2 = config.raw("_class_name") == "AutoencoderKLFlux2";
  auto c = flux2 ? flux2_config(config) : AutoencoderKLConfig();
  const auto default_levels = c.block_out_channels.size();
  c.in_channels = get_in_range(config, "in_channels", c.in_channels, 1, kMaxChannels);
  c.out_channels = get_in_range(config, "out_channels", c.out_channels, 1, kMaxChannels);
  c.latent_channels = get_in_range(config, "latent_channels", c.latent_channels, 1, kMaxChannels);
  c.block_out_channels = config.get<std::vector<std::int64_t>>("block_out_channels", c.block_out_channels);
  for (const auto channels : c.block_out_channels) check_range(config, "block_out_channels", channels, 1, kMaxChannels);
  require_blocks(config, "down_block_types", "DownEncoderBlock2D", default_levels, c.block_out_channels.size());
  require_blocks(config, "up_block_types", "UpDecoderBlock2D", default_levels, c.block_out_channels.size());
  c.layers_per_block = get_in_range(config, "layers_per_block", c.layers_per_block, 1, kMaxLayers);
  c.norm_num_groups = get_in_range(config, "norm_num_groups", c.norm_num_groups, 1, kMaxChannels);
  check_groups(config, c.block_out_channels, c.norm_num_groups);
  check_decoder_channels(config, c);
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
  if (const auto sample_size = first_of(config, "sample_size")) c.sample_size = sample_size;
  config.finish();
  return c;
}

DiagonalGaussianDistribution DiagonalGaussianDistribution::of(const at::Tensor& moments) {
  const auto halves = moments.chunk(2, /*dim=*/1);
  return {.mean = halves[0], .logvar = at::clamp(halves[1], kMinLogvar, kMaxLogvar)};
}

at::Tensor DiagonalGaussianDistribution::sample(const at::Tensor& noise) const {
  if (!is_random()) return mean;
  return logvar.mul(0.5).exp_().mul_(noise).add_(mean);
}

AutoencoderKL::AutoencoderKL(const AutoencoderKLConfig& config, const ModuleScope& scope)
    : config_(config),
      offload_handle_(scope.offload_handle()),
      encoder_(make_encoder(encoder_scope(scope), config)),
      decoder_(make_decoder(scope / "decoder", config)) {
  const auto moments = config.moments();
  if (config.use_quant_conv) quant_conv_.emplace(scope / "quant_conv", moments, moments, kPointwise);
  if (config.use_post_quant_conv) {
    post_quant_conv_.emplace(scope / "post_quant_conv", config.latent_channels, config.latent_channels, kPointwise);
  }
  if (config.patch_size > 1) {
    const auto statistics = scope / "bn";
    running_mean_ = statistics.take("running_mean", {config.patch_channels()});
    running_var_ = statistics.take("running_var", {config.patch_channels()});
    statistics.skip("num_batches_tracked");
  }
}

at::Tensor AutoencoderKL::moments(const at::Tensor& x, const RunContext& ctx) const {
  offload_handle_.make_resident();
  const auto moments = std::visit([&](const auto& encoder) { return encoder(x, ctx); }, encoder_);
  return quant_conv_ ? (*quant_conv_)(moments, ctx) : moments;
}

DiagonalGaussianDistribution AutoencoderKL::encode(const at::Tensor& x, const RunContext& ctx) const {
  return distribution_of(moments(x, ctx));
}

DiagonalGaussianDistribution AutoencoderKL::distribution_of(const at::Tensor& moments) const {
  if (config_.tiny) return {.mean = moments, .logvar = {}};
  return DiagonalGaussianDistribution::of(moments);
}

at::Tensor AutoencoderKL::decode(const at::Tensor& z, const RunContext& ctx) const {
  offload_handle_.make_resident();
  const auto latents = post_quant_conv_ ? (*post_quant_conv_)(z, ctx) : z;
  return std::visit([&](const auto& decoder) { return decoder(latents, ctx); }, decoder_);
}

at::Tensor AutoencoderKL::patch_mean(const at::Tensor& like) const {
  return per_patch_channel(running_mean_, like);
}

at::Tensor AutoencoderKL::patch_deviation(const at::Tensor& like) const {
  return per_patch_channel(at::sqrt(running_var_ + config_.batch_norm_eps), like);
}

at::Tensor AutoencoderKL::to_patches(const at::Tensor& z) const {
  offload_handle_.make_resident();
  const auto patch = config_.patch_size, height = z.size(2) / patch, width = z.size(3) / patch;
  const auto patches = z.reshape({z.size(0), z.size(1), height, patch, width, patch})
                           .permute({0, 1, 3, 5, 2, 4})
                           .reshape({z.size(0), config_.patch_channels(), height, width});
  return (patches - patch_mean(patches)) / patch_deviation(patches);
}

at::Tensor AutoencoderKL::from_patches(const at::Tensor& patches) const {
  offload_handle_.make_resident();
  const auto patch = config_.patch_size, height = patches.size(2), width = patches.size(3);
  return (patches * patch_deviation(patches) + patch_mean(patches))
      .reshape({patches.size(0), config_.latent_channels, patch, patch, height, width})
      .permute({0, 1, 4, 2, 5, 3})
      .reshape({patches.size(0), config_.latent_channels, height * patch, width * patch});
}

}  // namespace easel
