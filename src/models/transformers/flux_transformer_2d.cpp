#include "models/transformers/flux_transformer_2d.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <numeric>

#include "core/text.h"
#include "models/config_reading.h"
#include "models/input_check.h"
#include "nn/activation.h"

namespace easel {
namespace {

constexpr std::int64_t kFluxPatch = 2;
constexpr std::int64_t kFluxFrequencies = 256;
constexpr std::int64_t kFluxMlpRatio = 4;
constexpr double kFluxHeadEps = 1e-6;
constexpr double kFluxTheta = 10000;
constexpr double kFluxTrainTimesteps = 1000;
constexpr double kMaxHalf = 65504;

JointAttentionOptions flux_attention(const FluxTransformer2DConfig& config) {
  return {.dim = config.inner_dim(),
          .heads = config.num_attention_heads,
          .head_dim = config.attention_head_dim,
          .bias = Bias::kPresent,
          .norm_eps = kFluxHeadEps};
}

/// Patches of 2 x 2 cells as tokens, row by row; a token's channels in the order c, dy, dx.
at::Tensor pack(const at::Tensor& latents) {  // [B, C, h, w] -> [B, h w / 4, 4 C]
  const auto batch = latents.size(0), channels = latents.size(1);
  const auto rows = latents.size(2) / kFluxPatch, columns = latents.size(3) / kFluxPatch;
  return latents.reshape({batch, channels, rows, kFluxPatch, columns, kFluxPatch})
      .permute({0, 2, 4, 1, 3, 5})
      .reshape({batch, rows * columns, -1});
}

/// int64 [h w / 4, 3]: the number of the image, row and column of each token.
at::Tensor image_positions(std::int64_t image, const at::Tensor& latents) {
  const auto rows = latents.size(2) / kFluxPatch, columns = latents.size(3) / kFluxPatch;
  const auto index = at::arange(rows * columns, latents.options().dtype(at::kLong));
  return at::stack({at::full_like(index, image), index.div(columns, "floor"), index.remainder(columns)}, /*dim=*/-1);
}

/// Infinities of float16 become its largest numbers, as in the reference.
at::Tensor within_half(at::Tensor x) {
  return x.scalar_type() == at::kHalf ? x.clamp_(-kMaxHalf, kMaxHalf) : x;
}

void check_axes(Config& config, const FluxTransformer2DConfig& c) {
  if (c.axes_dims_rope.size() != 3) throw invalid_field(config, "axes_dims_rope", "does not have 3 entries");
  for (const auto channels : c.axes_dims_rope) {
    check_range(config, "axes_dims_rope", channels, 2, kMaxChannels);
    if (channels % 2 != 0) throw invalid_field(config, "axes_dims_rope", "has an odd entry");
  }
  const auto sum = std::accumulate(c.axes_dims_rope.begin(), c.axes_dims_rope.end(), std::int64_t{0});
  if (sum != c.attention_head_dim) {
    throw invalid_field(config, "axes_dims_rope",
                        concat("adds up to ", sum, ", but `attention_head_dim` is ", c.attention_head_dim));
  }
}

}  // namespace

FluxTransformer2DConfig FluxTransformer2DConfig::from(Config& config) {
  FluxTransformer2DConfig c;
  config.require("patch_size", {1});
  c.in_channels = get_in_range(config, "in_channels", c.in_channels, 4, kMaxChannels);
  if (c.in_channels % (kFluxPatch * kFluxPatch) != 0)
    throw invalid_field(config, "in_channels", "is not a multiple of 4");
  const auto out_channels = get_in_range(config, "out_channels", c.in_channels, 1, kMaxChannels);
  if (out_channels != c.in_channels) {
    throw unsupported_field(config, "out_channels",
                            concat("differs from `in_channels` = ", c.in_channels,
                                   "; easel does not run the variants for filling, depth and edges"));
  }
  c.num_layers = get_in_range(config, "num_layers", c.num_layers, 0, kMaxLayers);
  c.num_single_layers = get_in_range(config, "num_single_layers", c.num_single_layers, 0, kMaxLayers);
  c.attention_head_dim = get_in_range(config, "attention_head_dim", c.attention_head_dim, 1, kMaxChannels);
  c.num_attention_heads = get_in_range(config, "num_attention_heads", c.num_attention_heads, 1, kMaxChannels);
  c.joint_attention_dim = get_in_range(config, "joint_attention_dim", c.joint_attention_dim, 1, kMaxChannels);
  c.pooled_projection_dim = get_in_range(config, "pooled_projection_dim", c.pooled_projection_dim, 1, kMaxChannels);
  c.guidance_embeds = config.get<bool>("guidance_embeds", c.guidance_embeds);
  c.axes_dims_rope = config.get<std::vector<std::int64_t>>("axes_dims_rope", c.axes_dims_rope);
  config.finish();
  check_axes(config, c);
  return c;
}

FluxTransformer2DModel::DoubleBlock::DoubleBlock(const ModuleScope& scope, const FluxTransformer2DConfig& config)
    : offload_handle_(scope.offload_handle()),
      image_modulation_(scope / "norm1" / "linear", config.inner_dim(), 6),
      text_modulation_(scope / "norm1_context" / "linear", config.inner_dim(), 6),
      attention_(scope / "attn", flux_attention(config)),
      image_feed_forward_(scope / "ff", config.inner_dim(), FeedForwardKind::kGeluTanh),
      text_feed_forward_(scope / "ff_context", config.inner_dim(), FeedForwardKind::kGeluTanh) {}

TokenStreams FluxTransformer2DModel::DoubleBlock::operator()(const TokenStreams& x, const at::Tensor& embedding,
                                                             const TokenSequence& sequence,
                                                             const RunContext& ctx) const {
  offload_handle_.make_resident();
  // Shift, scale and gate of the attention, then of the MLP.
  const auto image = image_modulation_(embedding, ctx), text = text_modulation_(embedding, ctx);
  const auto attended = attention_({.image = modulated_layer_norm(x.image, image[0], image[1]),
                                    .text = modulated_layer_norm(x.text, text[0], text[1])},
                                   sequence, ctx);
  const auto finish = [&](const at::Tensor& before, at::Tensor attention, const std::vector<at::Tensor>& parts,
                          const FeedForward& feed_forward) {
    const auto after = attention.mul_(parts[2]).add_(before);
    return feed_forward(modulated_layer_norm(after, parts[3], parts[4]), ctx).mul_(parts[5]).add_(after);
  };
  return {.image = finish(x.image, attended.image, image, image_feed_forward_),
          .text = within_half(finish(x.text, attended.text, text, text_feed_forward_))};
}

FluxTransformer2DModel::SingleBlock::SingleBlock(const ModuleScope& scope, const FluxTransformer2DConfig& config)
    : offload_handle_(scope.offload_handle()),
      modulation_(scope / "norm" / "linear", config.inner_dim(), 3),
      heads_(scope / "attn", kImageProjectionNames, flux_attention(config)),
      proj_mlp_(scope / "proj_mlp", config.inner_dim(), kFluxMlpRatio * config.inner_dim()),
      proj_out_(scope / "proj_out", (kFluxMlpRatio + 1) * config.inner_dim(), config.inner_dim()) {}

at::Tensor FluxTransformer2DModel::SingleBlock::operator()(const at::Tensor& x, const at::Tensor& embedding,
                                                           const TokenSequence& sequence, const RunContext& ctx) const {
  offload_handle_.make_resident();
  const auto parts = modulation_(embedding, ctx);  // shift, scale, gate
  const auto joined = [&] {
    const auto normed = modulated_layer_norm(x, parts[0], parts[1]);
    const auto attended = attend(heads_(normed, ctx), sequence);
    return at::cat({attended, activate_in_place(Activation::kGeluTanh, proj_mlp_(normed, ctx))}, /*dim=*/-1);
  }();
  return within_half(proj_out_(joined, ctx).mul_(parts[2]).add_(x));
}

FluxTransformer2DModel::FluxTransformer2DModel(const FluxTransformer2DConfig& config, const ModuleScope& scope)
    : config_(config),
      offload_handle_(scope.offload_handle()),
      layer_table_(scope.layers()),
      dtype_(scope.placement().dtype),
      timesteps_({.channels = kFluxFrequencies}, scope.placement().device),
      timestep_embedder_(scope / "time_text_embed" / "timestep_embedder",
                         {.in_channels = kFluxFrequencies, .time_embed_dim = config.inner_dim()}),
      text_embedder_(scope / "time_text_embed" / "text_embedder",
                     {.in_channels = config.pooled_projection_dim, .time_embed_dim = config.inner_dim()}),
      context_embedder_(scope / "context_embedder", config.joint_attention_dim, config.inner_dim()),
      x_embedder_(scope / "x_embedder", config.in_channels, config.inner_dim()),
      norm_out_(scope / "norm_out" / "linear", config.inner_dim(), 2),
      proj_out_(scope / "proj_out", config.inner_dim(), config.in_channels) {
  if (config.guidance_embeds) {
    guidance_embedder_.emplace(
        scope / "time_text_embed" / "guidance_embedder",
        TimestepEmbeddingOptions{.in_channels = kFluxFrequencies, .time_embed_dim = config.inner_dim()});
  }
  for (std::int64_t i = 0; i < config.num_layers; ++i) {
    transformer_blocks_.emplace_back(scope / "transformer_blocks" / i, config);
  }
  for (std::int64_t i = 0; i < config.num_single_layers; ++i) {
    single_transformer_blocks_.emplace_back(scope / "single_transformer_blocks" / i, config);
  }
}

void FluxTransformer2DModel::check(const FluxInput& input) const {
  const auto rows = input.sample.size(0);
  const auto check_latents = [&](const char* name, const at::Tensor& latents) {
    if (latents.size(0) != rows || latents.size(1) != config_.latent_channels() || latents.size(2) % kFluxPatch != 0 ||
        latents.size(3) % kFluxPatch != 0) {
      reject_input("`", name, "` is ", latents.sizes(), ", expected ", rows, " rows of ", config_.latent_channels(),
                   " channels and whole patches");
    }
  };
  check_latents("sample", input.sample);
  if (input.reference.defined()) check_latents("reference", input.reference);
  if (input.prompt_embeds.size(0) != rows || input.pooled_prompt.size(0) != rows) {
    reject_input("there are ", rows, " rows, but ", input.prompt_embeds.size(0), " prompts and ",
                 input.pooled_prompt.size(0), " pooled prompts");
  }
  if (input.guidance.defined() != config_.guidance_embeds) {
    reject_input("`guidance` is ", input.guidance.defined() ? "given" : "missing", ", but `guidance_embeds` is ",
                 config_.guidance_embeds ? "true" : "false");
  }
}

// [B, inner_dim]. Numbers are multiplied in the model's dtype, which shows in half precision.
at::Tensor FluxTransformer2DModel::embed(const FluxInput& input, const RunContext& ctx) const {
  const auto waves = [&](const at::Tensor& numbers) {
    return timesteps_(numbers.to(dtype_) * kFluxTrainTimesteps).to(dtype_);
  };
  auto embedding = timestep_embedder_(waves(input.timesteps), /*condition=*/{}, ctx);
  if (guidance_embedder_) embedding = embedding + (*guidance_embedder_)(waves(input.guidance), /*condition=*/{}, ctx);
  return embedding + text_embedder_(input.pooled_prompt, /*condition=*/{}, ctx);
}

// Text, image, reference. All tokens of the text are at the origin.
TokenSequence FluxTransformer2DModel::sequence_of(const FluxInput& input) const {
  std::vector<at::Tensor> positions{
      at::zeros({input.prompt_embeds.size(1), 3}, input.sample.options().dtype(at::kLong)),
      image_positions(0, input.sample)};
  if (input.reference.defined()) positions.push_back(image_positions(1, input.reference));
  return {.rotary =
              axes_rotary_table(at::cat(positions), config_.axes_dims_rope, kFluxTheta, RotaryRounding::kCosines)};
}

at::Tensor FluxTransformer2DModel::to_latents(const at::Tensor& tokens, const at::Tensor& embedding,
                                              const FluxInput& input, const RunContext& ctx) const {
  const auto& sample = input.sample;
  const auto rows = sample.size(2) / kFluxPatch, columns = sample.size(3) / kFluxPatch;
  const auto parts = norm_out_(embedding, ctx);  // scale, shift
  return proj_out_(
             modulated_layer_norm(tokens.narrow(1, input.prompt_embeds.size(1), rows * columns), parts[1], parts[0]),
             ctx)
      .reshape({sample.size(0), rows, columns, config_.latent_channels(), kFluxPatch, kFluxPatch})
      .permute({0, 3, 1, 4, 2, 5})
      .reshape(sample.sizes());
}

at::Tensor FluxTransformer2DModel::operator()(const FluxInput& input, const RunContext& ctx) const {
  check(input);
  offload_handle_.make_resident();
  const auto embedding = embed(input, ctx);
  const auto sequence = sequence_of(input);
  auto image = pack(input.sample);
  if (input.reference.defined()) image = at::cat({image, pack(input.reference)}, /*dim=*/1);
  TokenStreams streams{.image = x_embedder_(image, ctx), .text = context_embedder_(input.prompt_embeds, ctx)};
  for (const auto& block : transformer_blocks_) {
    ctx.throw_if_cancelled();
    streams = block(streams, embedding, sequence, ctx);
  }
  auto tokens = at::cat({streams.text, streams.image}, /*dim=*/1);
  streams = {};  // its memory is free while the blocks run
  for (const auto& block : single_transformer_blocks_) {
    ctx.throw_if_cancelled();
    tokens = block(tokens, embedding, sequence, ctx);
  }
  return to_latents(tokens, embedding, input, ctx);
}

}  // namespace easel
