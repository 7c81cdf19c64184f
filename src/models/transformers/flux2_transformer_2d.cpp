#include "models/transformers/flux2_transformer_2d.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <numeric>

#include "core/text.h"
#include "models/config_reading.h"
#include "models/input_check.h"
#include "nn/activation.h"

namespace easel {
namespace {

constexpr std::size_t kFlux2Axes = 4;
constexpr std::int64_t kReferenceStride = 10;  // between the first coordinates of two references
constexpr double kFlux2TimestepScale = 1000;
constexpr double kLargestHalf = 65504;

/// Values beyond float16 become its largest ones, as in the reference.
void clamp_half(at::Tensor& x) {
  if (x.scalar_type() == at::kHalf) x.clamp_(-kLargestHalf, kLargestHalf);
}

/// silu(a) * b of [a | b] along the last dimension.
at::Tensor swiglu(const at::Tensor& x) {
  const auto halves = x.chunk(2, /*dim=*/-1);
  return at::silu(halves[0]).mul_(halves[1]);
}

/// [B, C, h, w] -> [B, h * w, C]
at::Tensor to_token_rows(const at::Tensor& latents) {
  return latents.flatten(2).transpose(1, 2);
}

}  // namespace

Flux2Transformer2DConfig Flux2Transformer2DConfig::from(Config& config) {
  Flux2Transformer2DConfig c;
  config.require("patch_size", {1});
  if (config.get<bool>("guidance_embeds", true)) {
    throw unsupported_field(config, "guidance_embeds",
                            "is not supported; easel supports false there, as FLUX.2 klein has it");
  }
  c.in_channels = get_in_range(config, "in_channels", c.in_channels, 1, kMaxChannels);
  config.require("out_channels", {c.in_channels});
  c.num_layers = get_in_range(config, "num_layers", c.num_layers, 0, kMaxLayers);
  c.num_single_layers = get_in_range(config, "num_single_layers", c.num_single_layers, 0, kMaxLayers);
  c.attention_head_dim = get_in_range(config, "attention_head_dim", c.attention_head_dim, 2, kMaxChannels);
  c.num_attention_heads = get_in_range(config, "num_attention_heads", c.num_attention_heads, 1, kMaxChannels);
  c.joint_attention_dim = get_in_range(config, "joint_attention_dim", c.joint_attention_dim, 1, kMaxChannels);
  c.timestep_guidance_channels =
      get_in_range(config, "timestep_guidance_channels", c.timestep_guidance_channels, 2, kMaxChannels);
  c.mlp_ratio = config.get<double>("mlp_ratio", c.mlp_ratio);
  c.rope_theta = config.get<double>("rope_theta", c.rope_theta);
  c.eps = config.get<double>("eps", c.eps);
  c.axes_dims_rope = config.get<std::vector<std::int64_t>>("axes_dims_rope", c.axes_dims_rope);
  config.finish();
  if (!(c.mlp_ratio > 0 && c.mlp_dim() >= 1 && c.mlp_dim() <= kMaxChannels * kMaxLayers)) {
    throw invalid_field(config, "mlp_ratio", "is out of range");
  }
  if (c.axes_dims_rope.size() != kFlux2Axes) throw invalid_field(config, "axes_dims_rope", "does not have 4 entries");
  for (const auto channels : c.axes_dims_rope) {
    check_range(config, "axes_dims_rope", channels, 2, kMaxChannels);
    if (channels % 2 != 0) throw invalid_field(config, "axes_dims_rope", "has an odd entry");
  }
  const auto sum = std::accumulate(c.axes_dims_rope.begin(), c.axes_dims_rope.end(), std::int64_t{0});
  if (sum != c.attention_head_dim) {
    throw invalid_field(config, "axes_dims_rope",
                        concat("adds up to ", sum, ", but `attention_head_dim` is ", c.attention_head_dim));
  }
  return c;
}

Flux2Transformer2DModel::FeedForward::FeedForward(const ModuleScope& scope, const Flux2Transformer2DConfig& config)
    : linear_in_(scope / "linear_in", config.dim(), 2 * config.mlp_dim(), Bias::kNone),
      linear_out_(scope / "linear_out", config.mlp_dim(), config.dim(), Bias::kNone) {}

at::Tensor Flux2Transformer2DModel::FeedForward::operator()(const at::Tensor& x, const RunContext& ctx) const {
  return linear_out_(swiglu(linear_in_(x, ctx)), ctx);
}

Flux2Transformer2DModel::DoubleBlock::DoubleBlock(const ModuleScope& scope, const Flux2Transformer2DConfig& config)
    : offload_handle_(scope.offload_handle()),
      attention_(scope / "attn", {.dim = config.dim(),
                                  .heads = config.num_attention_heads,
                                  .head_dim = config.attention_head_dim,
                                  .bias = Bias::kNone,
                                  .norm_eps = config.eps}),
      ff_(scope / "ff", config),
      ff_context_(scope / "ff_context", config),
      eps_(config.eps) {}

void Flux2Transformer2DModel::DoubleBlock::operator()(at::Tensor& image, at::Tensor& text,
                                                      const std::vector<at::Tensor>& image_parts,
                                                      const std::vector<at::Tensor>& text_parts,
                                                      const TokenSequence& sequence, const RunContext& ctx) const {
  offload_handle_.make_resident();
  auto attended = attention_({.image = modulated_layer_norm(image, image_parts[0], image_parts[1], eps_),
                              .text = modulated_layer_norm(text, text_parts[0], text_parts[1], eps_)},
                             sequence, ctx);
  const auto advance = [&](at::Tensor& stream, at::Tensor& change, const std::vector<at::Tensor>& parts,
                           const FeedForward& feed_forward) {
    stream = change.mul_(parts[2]).add_(stream);
    stream = feed_forward(modulated_layer_norm(stream, parts[3], parts[4], eps_), ctx).mul_(parts[5]).add_(stream);
  };
  advance(image, attended.image, image_parts, ff_);
  advance(text, attended.text, text_parts, ff_context_);
  clamp_half(text);
}

Flux2Transformer2DModel::SingleBlock::SingleBlock(const ModuleScope& scope, const Flux2Transformer2DConfig& config)
    : offload_handle_(scope.offload_handle()),
      to_qkv_mlp_proj_(scope / "attn" / "to_qkv_mlp_proj", config.dim(), 3 * config.dim() + 2 * config.mlp_dim(),
                       Bias::kNone),
      to_out_(scope / "attn" / "to_out", config.dim() + config.mlp_dim(), config.dim(), Bias::kNone),
      norm_q_(scope / "attn" / "norm_q", config.attention_head_dim, config.eps),
      norm_k_(scope / "attn" / "norm_k", config.attention_head_dim, config.eps),
      heads_(config.num_attention_heads),
      dim_(config.dim()),
      mlp_dim_(config.mlp_dim()),
      eps_(config.eps) {}

at::Tensor Flux2Transformer2DModel::SingleBlock::operator()(const at::Tensor& x, const std::vector<at::Tensor>& parts,
                                                            const TokenSequence& sequence,
                                                            const RunContext& ctx) const {
  offload_handle_.make_resident();
  const auto projected = to_qkv_mlp_proj_(modulated_layer_norm(x, parts[0], parts[1], eps_), ctx);
  const auto heads_of = [&](std::int64_t part) {  // [B, L, heads, head_dim]
    return projected.narrow(-1, part * dim_, dim_).unflatten(-1, {heads_, -1});
  };
  const auto attended =
      attend({.query = norm_q_(heads_of(0)), .key = norm_k_(heads_of(1)), .value = heads_of(2)}, sequence);
  const auto both = at::cat({attended, swiglu(projected.narrow(-1, 3 * dim_, 2 * mlp_dim_))}, /*dim=*/-1);
  auto out = to_out_(both, ctx).mul_(parts[2]).add_(x);
  clamp_half(out);
  return out;
}

Flux2Transformer2DModel::Flux2Transformer2DModel(const Flux2Transformer2DConfig& config, const ModuleScope& scope)
    : config_(config),
      offload_handle_(scope.offload_handle()),
      layer_table_(scope.layers()),
      dtype_(scope.placement().dtype),
      timesteps_({.channels = config.timestep_guidance_channels}, scope.placement().device),
      time_1_(scope / "time_guidance_embed" / "timestep_embedder" / "linear_1", config.timestep_guidance_channels,
              config.dim(), Bias::kNone),
      time_2_(scope / "time_guidance_embed" / "timestep_embedder" / "linear_2", config.dim(), config.dim(),
              Bias::kNone),
      image_modulation_(scope / "double_stream_modulation_img" / "linear", config.dim(), 6, Bias::kNone),
      text_modulation_(scope / "double_stream_modulation_txt" / "linear", config.dim(), 6, Bias::kNone),
      single_modulation_(scope / "single_stream_modulation" / "linear", config.dim(), 3, Bias::kNone),
      x_embedder_(scope / "x_embedder", config.in_channels, config.dim(), Bias::kNone),
      context_embedder_(scope / "context_embedder", config.joint_attention_dim, config.dim(), Bias::kNone),
      norm_out_(scope / "norm_out" / "linear", config.dim(), 2, Bias::kNone),
      proj_out_(scope / "proj_out", config.dim(), config.in_channels, Bias::kNone) {
  for (std::int64_t i = 0; i < config.num_layers; ++i) {
    double_blocks_.emplace_back(scope / "transformer_blocks" / i, config);
  }
  for (std::int64_t i = 0; i < config.num_single_layers; ++i) {
    single_blocks_.emplace_back(scope / "single_transformer_blocks" / i, config);
  }
}

void Flux2Transformer2DModel::check(const Flux2Input& input) const {
  const auto rows = input.sample.size(0);
  const auto check_latents = [&](const char* name, const at::Tensor& latents) {
    if (latents.dim() == 4 && latents.size(0) == rows && latents.size(1) == config_.in_channels) return;
    reject_input("`", name, "` is ", latents.sizes(), ", expected ", rows, " rows of ", config_.in_channels,
                 " channels");
  };
  check_latents("sample", input.sample);
  for (const auto& reference : input.references) check_latents("references", reference);
  const auto& prompt = input.prompt_embeds;
  if (prompt.dim() != 3 || prompt.size(0) != rows || prompt.size(2) != config_.joint_attention_dim) {
    reject_input("`prompt_embeds` is ", prompt.sizes(), ", expected ", rows, " rows of width ",
                 config_.joint_attention_dim);
  }
}

at::Tensor Flux2Transformer2DModel::embed_timesteps(const at::Tensor& timesteps, const RunContext& ctx) const {
  // The reference multiplies in the model's dtype.
  const auto waves = timesteps_((timesteps.to(dtype_) * kFlux2TimestepScale).to(at::kFloat)).to(dtype_);
  return time_2_(activate_in_place(Activation::kSilu, time_1_(waves, ctx)), ctx);
}

at::Tensor Flux2Transformer2DModel::embed_images(const Flux2Input& input, const RunContext& ctx) const {
  std::vector<at::Tensor> tokens{to_token_rows(input.sample)};
  for (const auto& reference : input.references) tokens.push_back(to_token_rows(reference));
  return x_embedder_(at::cat(tokens, /*dim=*/1), ctx);
}

/// Prompt tokens are at (0, 0, 0, i), those of the image at (0, row, column, 0), and those of the k-th reference at
/// (10 (k + 1), row, column, 0).
TokenSequence Flux2Transformer2DModel::sequence_of(const Flux2Input& input) const {
  const auto options = input.sample.options().dtype(at::kLong);
  const auto zeros = [&](std::int64_t count) { return at::zeros({count}, options); };
  const auto length = input.prompt_embeds.size(1);
  std::vector<at::Tensor> parts{
      at::stack({zeros(length), zeros(length), zeros(length), at::arange(length, options)}, /*dim=*/-1)};
  const auto add = [&](const at::Tensor& latents, std::int64_t first) {
    const auto columns = latents.size(3), count = latents.size(2) * columns;
    const auto index = at::arange(count, options);
    parts.push_back(at::stack(
        {at::full({count}, first, options), index.div(columns, "floor"), index.remainder(columns), zeros(count)},
        /*dim=*/-1));
  };
  add(input.sample, 0);
  for (std::size_t k = 0; k < input.references.size(); ++k) {
    add(input.references[k], kReferenceStride * static_cast<std::int64_t>(k + 1));
  }
  return {.rotary =
              axes_rotary_table(at::cat(parts), config_.axes_dims_rope, config_.rope_theta, RotaryRounding::kCosines)};
}

at::Tensor Flux2Transformer2DModel::to_latents(const at::Tensor& tokens, const at::Tensor& temb,
                                               const Flux2Input& input, const RunContext& ctx) const {
  const auto height = input.sample.size(2), width = input.sample.size(3);
  const auto parts = norm_out_(temb, ctx);  // scale, shift
  const auto own = tokens.narrow(1, input.prompt_embeds.size(1), height * width);
  return proj_out_(modulated_layer_norm(own, parts[1], parts[0], config_.eps), ctx)
      .transpose(1, 2)
      .reshape({input.sample.size(0), config_.in_channels, height, width});
}

at::Tensor Flux2Transformer2DModel::operator()(const Flux2Input& input, const RunContext& ctx) const {
  check(input);
  offload_handle_.make_resident();
  const auto temb = embed_timesteps(input.timesteps, ctx);  // [B, dim]
  const auto sequence = sequence_of(input);
  auto image = embed_images(input, ctx), text = context_embedder_(input.prompt_embeds, ctx);
  const auto image_parts = image_modulation_(temb, ctx), text_parts = text_modulation_(temb, ctx);
  for (const auto& block : double_blocks_) {
    ctx.throw_if_cancelled();
    block(image, text, image_parts, text_parts, sequence, ctx);
  }
  auto tokens = at::cat({text, image}, /*dim=*/1);
  image = text = at::Tensor();  // their memory is free while the other blocks run
  const auto parts = single_modulation_(temb, ctx);
  for (const auto& block : single_blocks_) {
    ctx.throw_if_cancelled();
    tokens = block(tokens, parts, sequence, ctx);
  }
  return to_latents(tokens, temb, input, ctx);
}

}  // namespace easel
