#include "models/transformers/sd3_transformer_2d.h"

#include <ATen/TensorOperators.h>

#include <algorithm>
#include <utility>

#include "core/text.h"
#include "models/config_reading.h"
#include "models/input_check.h"
#include "nn/layout.h"

namespace easel {
namespace {

constexpr std::int64_t kSd3Frequencies = 256;
constexpr std::int64_t kSd3MaxPatches = 1 << 12;
constexpr double kSd3Eps = 1e-6;

/// The parts of a block's modulation, in the order of the checkpoint.
enum Sd3Part : std::size_t {
  kSd3Shift,
  kSd3Scale,
  kSd3Gate,
  kSd3MlpShift,
  kSd3MlpScale,
  kSd3MlpGate,
  kSd3Shift2,
  kSd3Scale2,
  kSd3Gate2
};
constexpr std::int64_t kSd3Parts = 6, kSd3PartsWithDualAttention = 9;
// The norm of a text that is only attended to, and the last norm, have a scale and then a shift.
constexpr std::int64_t kSd3ScaleAndShift = 2;

JointAttentionOptions sd3_attention_options(const SD3Transformer2DConfig& config) {
  return {.dim = config.inner_dim(),
          .heads = config.num_attention_heads,
          .head_dim = config.attention_head_dim,
          .norm_eps = config.qk_norm ? std::optional(kSd3Eps) : std::nullopt};
}

}  // namespace

bool SD3Transformer2DConfig::has_dual_attention(std::int64_t layer) const {
  return std::ranges::find(dual_attention_layers, layer) != dual_attention_layers.end();
}

SD3Transformer2DConfig SD3Transformer2DConfig::from(Config& config) {
  SD3Transformer2DConfig c;
  c.patch_size = get_in_range(config, "patch_size", c.patch_size, 1, 16);
  c.in_channels = get_in_range(config, "in_channels", c.in_channels, 1, kMaxChannels);
  c.out_channels = find_in_range(config, "out_channels", 1, kMaxChannels).value_or(c.in_channels);
  c.num_layers = get_in_range(config, "num_layers", c.num_layers, 1, kMaxLayers);
  c.attention_head_dim = get_in_range(config, "attention_head_dim", c.attention_head_dim, 1, kMaxChannels);
  c.num_attention_heads = get_in_range(config, "num_attention_heads", c.num_attention_heads, 1, kMaxChannels);
  c.joint_attention_dim = get_in_range(config, "joint_attention_dim", c.joint_attention_dim, 1, kMaxChannels);
  c.pooled_projection_dim = get_in_range(config, "pooled_projection_dim", c.pooled_projection_dim, 1, kMaxChannels);
  c.pos_embed_max_size = get_in_range(config, "pos_embed_max_size", c.pos_embed_max_size, 1, kSd3MaxPatches);
  c.dual_attention_layers = config.get<std::vector<std::int64_t>>("dual_attention_layers", {});
  config.require("qk_norm", {nullptr, "rms_norm"});
  c.qk_norm = !config.raw("qk_norm").is_null();
  const auto caption_dim = get_in_range(config, "caption_projection_dim", 1152, 1, kMaxChannels);
  config.ignore({"sample_size"});  // the native size, which the model itself does not need
  config.finish();
  if (caption_dim != c.inner_dim()) {
    throw invalid_field(config, "caption_projection_dim",
                        concat("is ", caption_dim, ", but the heads are ", c.inner_dim(), " wide together"));
  }
  for (const auto layer : c.dual_attention_layers) {
    check_range(config, "dual_attention_layers", layer, 0, c.num_layers - 1);
  }
  return c;
}

SD3Transformer2DModel::Block::Block(const ModuleScope& scope, const SD3Transformer2DConfig& config, std::int64_t layer)
    : offload_handle_(scope.offload_handle()),
      text_output_(layer + 1 == config.num_layers ? TextOutput::kNone : TextOutput::kPresent),
      norm1_(scope / "norm1" / "linear", config.inner_dim(),
             config.has_dual_attention(layer) ? kSd3PartsWithDualAttention : kSd3Parts),
      norm1_context_(scope / "norm1_context" / "linear", config.inner_dim(),
                     text_output_ == TextOutput::kPresent ? kSd3Parts : kSd3ScaleAndShift),
      attn_(scope / "attn", sd3_attention_options(config), StreamOrder::kImageFirst, text_output_),
      ff_(scope / "ff", config.inner_dim(), FeedForwardKind::kGeluTanh) {
  if (config.has_dual_attention(layer)) {
    attn2_.emplace(
        DualAttention{.heads = HeadProjection(scope / "attn2", kImageProjectionNames, sd3_attention_options(config)),
                      .out = Linear(scope / "attn2" / "to_out" / 0, config.inner_dim(), config.inner_dim())});
  }
  if (text_output_ == TextOutput::kPresent) {
    ff_context_.emplace(scope / "ff_context", config.inner_dim(), FeedForwardKind::kGeluTanh);
  }
}

TokenStreams SD3Transformer2DModel::Block::operator()(const TokenStreams& in, const at::Tensor& embedding,
                                                      const RunContext& ctx) const {
  offload_handle_.make_resident();
  const auto image_parts = norm1_(embedding, ctx), text_parts = norm1_context_(embedding, ctx);
  const bool keeps_text = text_output_ == TextOutput::kPresent;
  auto attended = [&] {
    const auto image = modulated_layer_norm(in.image, image_parts[kSd3Shift], image_parts[kSd3Scale], kSd3Eps);
    const auto& text_shift = keeps_text ? text_parts[kSd3Shift] : text_parts[1];
    const auto& text_scale = keeps_text ? text_parts[kSd3Scale] : text_parts[0];
    const auto text = modulated_layer_norm(in.text, text_shift, text_scale, kSd3Eps);
    return attn_({.image = image, .text = text}, {}, ctx);
  }();
  TokenStreams out{.image = image_result(in, std::move(attended.image), image_parts, ctx), .text = {}};
  if (keeps_text) out.text = text_result(in, std::move(attended.text), text_parts, ctx);
  return out;
}

at::Tensor SD3Transformer2DModel::Block::image_result(const TokenStreams& in, at::Tensor attended,
                                                      const std::vector<at::Tensor>& parts,
                                                      const RunContext& ctx) const {
  auto image = attended.mul_(parts[kSd3Gate]).add_(in.image);
  if (attn2_) {
    // From the block's input, like the attention before it.
    const auto normed = modulated_layer_norm(in.image, parts[kSd3Shift2], parts[kSd3Scale2], kSd3Eps);
    image.add_(attn2_->out(attend(attn2_->heads(normed, ctx), {}), ctx).mul_(parts[kSd3Gate2]));
  }
  const auto normed = modulated_layer_norm(image, parts[kSd3MlpShift], parts[kSd3MlpScale], kSd3Eps);
  return ff_(normed, ctx).mul_(parts[kSd3MlpGate]).add_(image);
}

at::Tensor SD3Transformer2DModel::Block::text_result(const TokenStreams& in, at::Tensor attended,
                                                     const std::vector<at::Tensor>& parts,
                                                     const RunContext& ctx) const {
  const auto text = attended.mul_(parts[kSd3Gate]).add_(in.text);
  const auto normed = modulated_layer_norm(text, parts[kSd3MlpShift], parts[kSd3MlpScale], kSd3Eps);
  return (*ff_context_)(normed, ctx).mul_(parts[kSd3MlpGate]).add_(text);
}

SD3Transformer2DModel::SD3Transformer2DModel(const SD3Transformer2DConfig& config, const ModuleScope& scope)
    : config_(config),
      offload_handle_(scope.offload_handle()),
      layer_table_(scope.layers()),
      patch_embed_(scope / "pos_embed" / "proj", config.in_channels, config.inner_dim(),
                   {.kernel = config.patch_size, .stride = config.patch_size, .padding = 0}),
      pos_embed_(
          (scope / "pos_embed")
              .take("pos_embed", {1, config.pos_embed_max_size * config.pos_embed_max_size, config.inner_dim()})),
      dtype_(scope.placement().dtype),
      timesteps_({.channels = kSd3Frequencies}, scope.placement().device),
      timestep_embedder_(scope / "time_text_embed" / "timestep_embedder",
                         {.in_channels = kSd3Frequencies, .time_embed_dim = config.inner_dim()}),
      text_embedder_(scope / "time_text_embed" / "text_embedder",
                     {.in_channels = config.pooled_projection_dim, .time_embed_dim = config.inner_dim()}),
      context_embedder_(scope / "context_embedder", config.joint_attention_dim, config.inner_dim()),
      norm_out_(scope / "norm_out" / "linear", config.inner_dim(), kSd3ScaleAndShift),
      proj_out_(scope / "proj_out", config.inner_dim(), config.patch_size * config.patch_size * config.out_channels) {
  for (std::int64_t i = 0; i < config.num_layers; ++i)
    blocks_.emplace_back(scope / "transformer_blocks" / i, config, i);
}

void SD3Transformer2DModel::check(const SD3Input& input) const {
  const auto& sample = input.sample;
  const auto patch = config_.patch_size, rows = sample.size(0);
  check_patches(sample, config_.in_channels, patch);
  if (sample.size(2) / patch > config_.pos_embed_max_size || sample.size(3) / patch > config_.pos_embed_max_size) {
    reject_input("`sample` is ", sample.sizes(), ", but the model knows images of at most ", config_.pos_embed_max_size,
                 "x", config_.pos_embed_max_size, " patches");
  }
  const auto& prompts = input.prompt_embeds;
  if (prompts.size(0) != rows || prompts.size(2) != config_.joint_attention_dim) {
    reject_input("`prompt_embeds` is ", prompts.sizes(), ", expected ", rows, " rows of ", config_.joint_attention_dim,
                 " channels");
  }
  const auto& pooled = input.pooled_projections;
  if (!pooled.defined() || pooled.size(0) != rows || pooled.size(1) != config_.pooled_projection_dim) {
    reject_input("`pooled_projections` is not ", rows, " rows of ", config_.pooled_projection_dim, " channels");
  }
}

// [B, C, h, w] -> [B, L, inner_dim]
at::Tensor SD3Transformer2DModel::embed_image(const at::Tensor& sample, const RunContext& ctx) const {
  const auto most = config_.pos_embed_max_size;
  const auto rows = sample.size(2) / config_.patch_size, columns = sample.size(3) / config_.patch_size;
  // The position embeddings of an image are those around the centre of the largest one's.
  const auto positions = pos_embed_.view({most, most, -1})
                             .narrow(0, (most - rows) / 2, rows)
                             .narrow(1, (most - columns) / 2, columns)
                             .reshape({1, rows * columns, -1});
  return to_tokens(patch_embed_(sample, ctx)) + positions;
}

// [B, inner_dim]
at::Tensor SD3Transformer2DModel::embed_conditioning(const SD3Input& input, const RunContext& ctx) const {
  const auto timesteps = timestep_embedder_(timesteps_(input.timesteps).to(dtype_), /*condition=*/{}, ctx);
  return timesteps + text_embedder_(input.pooled_projections, /*condition=*/{}, ctx);
}

at::Tensor SD3Transformer2DModel::to_latents(const at::Tensor& tokens, const at::Tensor& embedding,
                                             const SD3Input& input, const RunContext& ctx) const {
  const auto patch = config_.patch_size;
  const auto rows = input.sample.size(2) / patch, columns = input.sample.size(3) / patch;
  const auto parts = norm_out_(embedding, ctx);
  const auto patches = proj_out_(modulated_layer_norm(tokens, /*shift=*/parts[1], /*scale=*/parts[0], kSd3Eps), ctx);
  return patches_to_map(patches, rows, columns, patch);
}

at::Tensor SD3Transformer2DModel::operator()(const SD3Input& input, const RunContext& ctx) const {
  check(input);
  offload_handle_.make_resident();
  const auto embedding = embed_conditioning(input, ctx);  // [B, inner_dim]
  TokenStreams tokens{.image = embed_image(input.sample, ctx), .text = context_embedder_(input.prompt_embeds, ctx)};
  for (const auto& block : blocks_) {
    ctx.throw_if_cancelled();
    tokens = block(tokens, embedding, ctx);
  }
  return to_latents(tokens.image, embedding, input, ctx);
}

}  // namespace easel
