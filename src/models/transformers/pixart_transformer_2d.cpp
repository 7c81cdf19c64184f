#include "models/transformers/pixart_transformer_2d.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/reciprocal.h>
#include <ATen/ops/tensor.h>

#include <algorithm>

#include "core/text.h"
#include "models/config_reading.h"
#include "models/input_check.h"
#include "nn/activation.h"
#include "nn/layout.h"
#include "nn/prompt_projections.h"
#include "nn/transformer/adaptive_norm.h"
#include "tensor/upload.h"

namespace easel {
namespace {

constexpr std::int64_t kPixArtFrequencies = 256;
constexpr double kPixArtFinalEps = 1e-6;
constexpr double kPixArtMaxPeriod = 10000;
constexpr double kPixArtMaxInterpolationScale = 1 << 10;

/// The parts of a block's modulation, in the order of the checkpoint.
enum PixArtPart : std::size_t {
  kPixArtShift,
  kPixArtScale,
  kPixArtGate,
  kPixArtMlpShift,
  kPixArtMlpScale,
  kPixArtMlpGate
};
constexpr std::int64_t kPixArtParts = 6;

AttentionOptions pixart_attention_options(const PixArtTransformer2DConfig& config) {
  return {.query_dim = config.inner_dim(),
          .context_dim = config.inner_dim(),
          .heads = config.num_attention_heads,
          .head_dim = config.attention_head_dim,
          .projection_bias = config.attention_bias};
}

/// Sinusoidal embeddings of positions, sines first. [N] -> [N, channels], in double
at::Tensor position_waves(const at::Tensor& positions, std::int64_t channels) {
  const auto index = at::arange(channels / 2, positions.options().dtype(at::kDouble));
  const auto frequencies = at::reciprocal(at::pow(kPixArtMaxPeriod, index / (static_cast<double>(channels) / 2)));
  const auto angles = positions.to(at::kDouble).unsqueeze(1) * frequencies;
  return at::cat({angles.sin(), angles.cos()}, /*dim=*/1);
}

/// Fields of the class `Transformer2DModel` that this architecture does not use, and fields of training.
void ignore_pixart_fields(Config& config) {
  config.ignore({"dropout", "norm_num_groups", "num_embeds_ada_norm", "upcast_attention"});
  config.require("activation_fn", {"gelu-approximate"});
  config.require("attention_type", {"default"});
  config.require("double_self_attention", {false});
  config.require("norm_elementwise_affine", {false});
  config.require("norm_type", {"ada_norm_single"});
  config.require("num_vector_embeds", {});
  config.require("only_cross_attention", {false});
  config.require("use_linear_projection", {false});
}

/// Models with this field are given the size of the image, as PixArt-Alpha's are.
void refuse_size_conditions(Config& config, std::int64_t sample_size) {
  constexpr std::int64_t kSampleSizeOfAlpha = 128;
  if (config.get<bool>("use_additional_conditions", sample_size == kSampleSizeOfAlpha)) {
    throw unsupported_field(config, "use_additional_conditions",
                            concat("is not supported, and is true at `sample_size` ", kSampleSizeOfAlpha,
                                   " unless it is given; easel supports false"));
  }
}

}  // namespace

PixArtTransformer2DConfig PixArtTransformer2DConfig::from(Config& config) {
  PixArtTransformer2DConfig c;
  c.sample_size = get_in_range(config, "sample_size", c.sample_size, 1, kMaxChannels);
  c.patch_size = get_in_range(config, "patch_size", c.patch_size, 1, 16);
  c.in_channels = get_in_range(config, "in_channels", c.in_channels, 1, kMaxChannels);
  c.out_channels = find_in_range(config, "out_channels", 1, kMaxChannels).value_or(c.in_channels);
  c.num_layers = get_in_range(config, "num_layers", c.num_layers, 1, kMaxLayers);
  c.attention_head_dim = get_in_range(config, "attention_head_dim", c.attention_head_dim, 1, kMaxChannels);
  c.num_attention_heads = get_in_range(config, "num_attention_heads", c.num_attention_heads, 1, kMaxChannels);
  if (!config.has("caption_channels")) throw unsupported_field(config, "caption_channels", "is missing or null");
  c.caption_channels = get_in_range(config, "caption_channels", c.caption_channels, 1, kMaxChannels);
  const auto cross_attention_dim = get_in_range(config, "cross_attention_dim", 1152, 1, kMaxChannels);
  const auto default_scale = std::max<std::int64_t>(c.sample_size / 64, 1);
  c.interpolation_scale = config.get<double>("interpolation_scale", static_cast<double>(default_scale));
  if (!(c.interpolation_scale > 0 && c.interpolation_scale <= kPixArtMaxInterpolationScale)) {
    throw invalid_field(config, "interpolation_scale", concat("is not within 0 to ", kPixArtMaxInterpolationScale));
  }
  c.attention_bias = config.get<bool>("attention_bias", true) ? Bias::kPresent : Bias::kNone;
  c.norm_eps = config.get<double>("norm_eps", c.norm_eps);
  refuse_size_conditions(config, c.sample_size);
  ignore_pixart_fields(config);
  config.finish();
  if (cross_attention_dim != c.inner_dim()) {
    throw invalid_field(config, "cross_attention_dim",
                        concat("is ", cross_attention_dim, ", but the heads are ", c.inner_dim(), " wide together"));
  }
  if (c.inner_dim() % 4 != 0) throw invalid_field(config, "attention_head_dim", "makes no multiple of 4 channels");
  if (c.sample_size % c.patch_size != 0)
    throw invalid_field(config, "sample_size", "is not a multiple of `patch_size`");
  return c;
}

PixArtTransformer2DModel::Block::Block(const ModuleScope& scope, const PixArtTransformer2DConfig& config)
    : offload_handle_(scope.offload_handle()),
      attn1_(scope / "attn1", pixart_attention_options(config)),
      attn2_(scope / "attn2", pixart_attention_options(config)),
      ff_(scope / "ff", config.inner_dim(), FeedForwardKind::kGeluTanh),
      scale_shift_table_(scope.take("scale_shift_table", {kPixArtParts, config.inner_dim()})),
      norm_eps_(config.norm_eps) {}

at::Tensor PixArtTransformer2DModel::Block::operator()(const at::Tensor& x, const Conditioning& conditioning,
                                                       const RunContext& ctx) const {
  offload_handle_.make_resident();
  const auto parts =
      (scale_shift_table_ + conditioning.modulation).chunk(kPixArtParts, /*dim=*/1);  // [B, 1, inner_dim]
  auto tokens = [&] {
    const auto normed = modulated_layer_norm(x, parts[kPixArtShift], parts[kPixArtScale], norm_eps_);
    return attn1_(normed, normed, /*bias=*/{}, ctx).mul_(parts[kPixArtGate]).add_(x);
  }();
  tokens = attn2_.to_prompts(tokens, conditioning.prompt, conditioning.mask, ctx).add_(tokens);
  const auto normed = modulated_layer_norm(tokens, parts[kPixArtMlpShift], parts[kPixArtMlpScale], norm_eps_);
  return ff_(normed, ctx).mul_(parts[kPixArtMlpGate]).add_(tokens);
}

PixArtTransformer2DModel::PixArtTransformer2DModel(const PixArtTransformer2DConfig& config, const ModuleScope& scope)
    : config_(config),
      offload_handle_(scope.offload_handle()),
      layer_table_(scope.layers()),
      dtype_(scope.placement().dtype),
      patch_embed_(scope / "pos_embed" / "proj", config.in_channels, config.inner_dim(),
                   {.kernel = config.patch_size, .stride = config.patch_size, .padding = 0}),
      timesteps_({.channels = kPixArtFrequencies}, scope.placement().device),
      timestep_embedder_(scope / "adaln_single" / "emb" / "timestep_embedder",
                         {.in_channels = kPixArtFrequencies, .time_embed_dim = config.inner_dim()}),
      modulation_(scope / "adaln_single" / "linear", config.inner_dim(), kPixArtParts * config.inner_dim()),
      caption_1_(scope / "caption_projection" / "linear_1", config.caption_channels, config.inner_dim()),
      caption_2_(scope / "caption_projection" / "linear_2", config.inner_dim(), config.inner_dim()),
      scale_shift_table_(scope.take("scale_shift_table", {2, config.inner_dim()})),
      proj_out_(scope / "proj_out", config.inner_dim(), config.patch_size * config.patch_size * config.out_channels) {
  for (std::int64_t i = 0; i < config.num_layers; ++i) blocks_.emplace_back(scope / "transformer_blocks" / i, config);
  scope.skip("pos_embed.pos_embed");  // computed; older files may hold it
}

void PixArtTransformer2DModel::check(const PixArtInput& input) const {
  const auto& sample = input.sample;
  const auto patch = config_.patch_size, rows = sample.size(0);
  check_patches(sample, config_.in_channels, patch);
  const auto& prompts = input.prompt_embeds;
  if (prompts.size(0) != rows || prompts.size(2) != config_.caption_channels) {
    reject_input("`prompt_embeds` is ", prompts.sizes(), ", expected ", rows, " rows of ", config_.caption_channels,
                 " channels");
  }
  const auto& lengths = input.prompt_lengths;
  if (static_cast<std::int64_t>(lengths.size()) != rows ||
      std::ranges::any_of(lengths, [&](auto length) { return length < 1 || length > prompts.size(1); })) {
    reject_input("`prompt_lengths` is not ", rows, " numbers of 1 to ", prompts.size(1));
  }
}

// [B, C, h, w] -> [B, L, inner_dim]
at::Tensor PixArtTransformer2DModel::embed_image(const at::Tensor& sample, const RunContext& ctx) const {
  const auto rows = sample.size(2) / config_.patch_size, columns = sample.size(3) / config_.patch_size;
  const auto native_positions = config_.sample_size / config_.patch_size;
  const auto base = static_cast<double>(native_positions);
  // Positions of any image cover the range of the native one's. In the reference's order of operations.
  const auto positions = [&](std::int64_t count) {
    return at::arange(count, sample.options().dtype(at::kFloat)) / (static_cast<double>(count) / base) /
           config_.interpolation_scale;
  };
  const auto half = config_.inner_dim() / 2;
  const auto x = position_waves(positions(columns), half).unsqueeze(0).expand({rows, columns, half});
  const auto y = position_waves(positions(rows), half).unsqueeze(1).expand({rows, columns, half});
  const auto waves = at::cat({x, y}, /*dim=*/2).view({1, rows * columns, -1}).to(at::kFloat);
  return (to_tokens(patch_embed_(sample, ctx)) + waves).to(dtype_);
}

at::Tensor PixArtTransformer2DModel::embed_caption(const at::Tensor& prompt_embeds, const RunContext& ctx) const {
  const PromptPart all{.first = 0, .count = prompt_embeds.size(0), .tokens = prompt_embeds.size(1)};
  return once_per_prompt(caption_2_.slot(), all, ctx, [&](const PromptPart& part) {
    return caption_2_(activate_in_place(Activation::kGeluTanh, caption_1_(part.of(prompt_embeds), ctx)), ctx);
  });
}

at::Tensor PixArtTransformer2DModel::to_latents(const at::Tensor& tokens, const at::Tensor& timesteps,
                                                const PixArtInput& input, const RunContext& ctx) const {
  const auto patch = config_.patch_size;
  const auto rows = input.sample.size(2) / patch, columns = input.sample.size(3) / patch;
  const auto parts = (scale_shift_table_ + timesteps.unsqueeze(1)).chunk(2, /*dim=*/1);
  const auto patches =
      proj_out_(modulated_layer_norm(tokens, /*shift=*/parts[0], /*scale=*/parts[1], kPixArtFinalEps), ctx);
  return patches_to_map(patches, rows, columns, patch);
}

at::Tensor PixArtTransformer2DModel::operator()(const PixArtInput& input, const RunContext& ctx) const {
  check(input);
  offload_handle_.make_resident();
  const auto timesteps = timestep_embedder_(timesteps_(input.timesteps).to(dtype_), /*condition=*/{}, ctx);
  Conditioning conditioning{
      .prompt = embed_caption(input.prompt_embeds, ctx),
      .mask = {},
      .modulation = modulation_(activate(Activation::kSilu, timesteps), ctx).unflatten(1, {kPixArtParts, -1})};
  const auto longest = input.prompt_embeds.size(1);
  if (std::ranges::any_of(input.prompt_lengths, [&](auto length) { return length != longest; })) {
    const auto& sample = input.sample;
    const auto lengths =
        upload(at::tensor(input.prompt_lengths, at::kLong).view({-1, 1, 1, 1}), sample.device(), at::kLong);
    conditioning.mask = at::arange(longest, sample.options().dtype(at::kLong)).lt(lengths);
  }
  auto tokens = embed_image(input.sample, ctx);
  for (const auto& block : blocks_) {
    ctx.throw_if_cancelled();
    tokens = block(tokens, conditioning, ctx);
  }
  return to_latents(tokens, timesteps, input, ctx);
}

}  // namespace easel
