#include "models/transformers/z_image_transformer_2d.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <numeric>

#include "core/text.h"
#include "models/config_reading.h"
#include "models/input_check.h"
#include "nn/activation.h"
#include "nn/attention.h"
#include "nn/layout.h"
#include "nn/prompt_projections.h"
#include "tensor/upload.h"

namespace easel {
namespace {

constexpr std::int64_t kMaxModulation = 256;
constexpr std::int64_t kTokenMultiple = 32;
constexpr std::int64_t kFrequencies = 256;
constexpr std::int64_t kTimestepHidden = 1024;
constexpr double kFinalEps = 1e-6, kHeadEps = 1e-5;
constexpr GatedMlpNames kZImageMlp{.gate = "w1", .up = "w3", .down = "w2"};

/// A list whose only entry is the supported one.
std::int64_t only_entry(Config& config, const std::string& key, std::int64_t fallback, std::int64_t low,
                        std::int64_t high) {
  const auto list = config.get<std::vector<std::int64_t>>(key, {fallback});
  if (list.size() != 1) throw unsupported_field(config, key, "is not supported; easel supports lists of one number");
  check_range(config, key, list[0], low, high);
  return list[0];
}

std::vector<std::int64_t> padded_lengths(const ZImageInput& input) {
  std::vector<std::int64_t> lengths;
  for (const auto length : input.prompt_lengths) lengths.push_back(ZImageTransformer2DConfig::padded_length(length));
  return lengths;
}

/// Tokens of the longest caption, with its padding tokens.
std::int64_t caption_length(const ZImageInput& input) {
  return ZImageTransformer2DConfig::padded_length(*std::ranges::max_element(input.prompt_lengths));
}

/// int64 [B, 1] on the device of the sample.
at::Tensor column(const std::vector<std::int64_t>& numbers, const ZImageInput& input) {
  return upload(at::tensor(numbers, at::kLong).unsqueeze(1), input.sample.device(), at::kLong);
}

at::Tensor count_to(std::int64_t count, const ZImageInput& input) {
  return at::arange(count, input.sample.options().dtype(at::kLong));
}

/// int64 [B, L, 3] from coordinates that broadcast to [B, L].
at::Tensor positions_of(const at::Tensor& text, const at::Tensor& row, const at::Tensor& col) {
  return at::stack({text, row.expand_as(text), col.expand_as(text)}, /*dim=*/-1);
}

}  // namespace

std::int64_t ZImageTransformer2DConfig::modulation_dim() const {
  return std::min(dim, kMaxModulation);
}

std::int64_t ZImageTransformer2DConfig::padded_length(std::int64_t tokens) {
  return (tokens + kTokenMultiple - 1) / kTokenMultiple * kTokenMultiple;
}

ZImageTransformer2DConfig ZImageTransformer2DConfig::from(Config& config) {
  ZImageTransformer2DConfig c;
  c.patch_size = only_entry(config, "all_patch_size", c.patch_size, 1, 16);
  only_entry(config, "all_f_patch_size", 1, 1, 1);
  config.require("siglip_feat_dim", {});  // of a variant that is also given images
  c.in_channels = get_in_range(config, "in_channels", c.in_channels, 1, kMaxChannels);
  c.dim = get_in_range(config, "dim", c.dim, 1, kMaxChannels);
  c.n_layers = get_in_range(config, "n_layers", c.n_layers, 1, kMaxLayers);
  c.n_refiner_layers = get_in_range(config, "n_refiner_layers", c.n_refiner_layers, 0, kMaxLayers);
  c.n_heads = get_in_range(config, "n_heads", c.n_heads, 1, kMaxChannels);
  config.ignore({"n_kv_heads"});  // the reference does not read it either
  c.norm_eps = config.get<double>("norm_eps", c.norm_eps);
  c.qk_norm = config.get<bool>("qk_norm", c.qk_norm);
  c.cap_feat_dim = get_in_range(config, "cap_feat_dim", c.cap_feat_dim, 1, kMaxChannels);
  c.rope_theta = config.get<double>("rope_theta", c.rope_theta);
  c.t_scale = config.get<double>("t_scale", c.t_scale);
  c.axes_dims = config.get<std::vector<std::int64_t>>("axes_dims", c.axes_dims);
  c.axes_lens = config.get<std::vector<std::int64_t>>("axes_lens", c.axes_lens);
  config.finish();
  if (c.axes_dims.size() != 3 || c.axes_lens.size() != 3) {
    throw invalid_field(config, c.axes_dims.size() != 3 ? "axes_dims" : "axes_lens", "does not have 3 entries");
  }
  for (const auto channels : c.axes_dims) {
    check_range(config, "axes_dims", channels, 2, kMaxChannels);
    if (channels % 2 != 0) throw invalid_field(config, "axes_dims", "has an odd entry");
  }
  for (const auto length : c.axes_lens) check_range(config, "axes_lens", length, 1, kMaxChannels);
  const auto head_dim = std::accumulate(c.axes_dims.begin(), c.axes_dims.end(), std::int64_t{0});
  if (c.dim != c.n_heads * head_dim) {
    throw invalid_field(config, "axes_dims",
                        concat("adds up to ", head_dim, ", but `dim` / `n_heads` is ",
                               static_cast<double>(c.dim) / static_cast<double>(c.n_heads)));
  }
  return c;
}

ZImageTransformer2DModel::Block::Block(const ModuleScope& scope, const ZImageTransformer2DConfig& config,
                                       Modulation modulation)
    : offload_handle_(scope.offload_handle()),
      to_q_(scope / "attention" / "to_q", config.dim, config.dim, Bias::kNone),
      to_k_(scope / "attention" / "to_k", config.dim, config.dim, Bias::kNone),
      to_v_(scope / "attention" / "to_v", config.dim, config.dim, Bias::kNone),
      to_out_(scope / "attention" / "to_out" / 0, config.dim, config.dim, Bias::kNone),
      // As in the reference, int(dim / 3 * 8) by floating point.
      feed_forward_(scope / "feed_forward", kZImageMlp, config.dim,
                    static_cast<std::int64_t>(static_cast<double>(config.dim) / 3 * 8)),
      attention_norm1_(scope / "attention_norm1", config.dim, config.norm_eps),
      attention_norm2_(scope / "attention_norm2", config.dim, config.norm_eps),
      ffn_norm1_(scope / "ffn_norm1", config.dim, config.norm_eps),
      ffn_norm2_(scope / "ffn_norm2", config.dim, config.norm_eps),
      heads_(config.n_heads) {
  if (config.qk_norm) {
    norm_q_.emplace(scope / "attention" / "norm_q", config.dim / config.n_heads, kHeadEps);
    norm_k_.emplace(scope / "attention" / "norm_k", config.dim / config.n_heads, kHeadEps);
  }
  if (modulation == Modulation::kByTimestep) {
    modulation_.emplace(scope / "adaLN_modulation" / 0, config.modulation_dim(), 4 * config.dim);
  }
}

at::Tensor ZImageTransformer2DModel::Block::operator()(const at::Tensor& x, const Sequence& sequence,
                                                       const at::Tensor& modulation, const RunContext& ctx) const {
  offload_handle_.make_resident();
  if (!modulation_) {
    const auto attended = attention_norm2_(attend(attention_norm1_(x), sequence, ctx)).add_(x);
    return ffn_norm2_(feed_forward_(ffn_norm1_(attended), ctx)).add_(attended);
  }
  const auto parts = (*modulation_)(modulation, ctx).unsqueeze(1).chunk(4, /*dim=*/2);  // [B, 1, dim] each
  const auto &scale_attention = parts[0], &gate_attention = parts[1], &scale_mlp = parts[2], &gate_mlp = parts[3];
  const auto attended = attention_norm2_(attend(attention_norm1_(x).mul_(scale_attention + 1), sequence, ctx))
                            .mul_(gate_attention.tanh())
                            .add_(x);
  return ffn_norm2_(feed_forward_(ffn_norm1_(attended).mul_(scale_mlp + 1), ctx)).mul_(gate_mlp.tanh()).add_(attended);
}

at::Tensor ZImageTransformer2DModel::Block::attend(const at::Tensor& x, const Sequence& sequence,
                                                   const RunContext& ctx) const {
  const auto turned = [&](const Linear& projection, const std::optional<RmsNorm>& norm) {
    const auto heads = projection(x, ctx).unflatten(-1, {heads_, -1});  // [B, L, heads, D]
    return rotate_pairs(norm ? (*norm)(heads) : heads, sequence.rotary).flatten(2);
  };
  const auto query = turned(to_q_, norm_q_), key = turned(to_k_, norm_k_), value = to_v_(x, ctx);
  return to_out_(multi_head_attention(query, key, value, heads_, sequence.mask), ctx);
}

ZImageTransformer2DModel::ZImageTransformer2DModel(const ZImageTransformer2DConfig& config, const ModuleScope& scope)
    : config_(config),
      offload_handle_(scope.offload_handle()),
      layer_table_(scope.layers()),
      dtype_(scope.placement().dtype),
      timesteps_({.channels = kFrequencies}, scope.placement().device),
      t_embedder_1_(scope / "t_embedder" / "mlp" / 0, kFrequencies, kTimestepHidden),
      t_embedder_2_(scope / "t_embedder" / "mlp" / 2, kTimestepHidden, config.modulation_dim()),
      x_embedder_(scope / "all_x_embedder" / concat(config.patch_size, "-1"),
                  config.patch_size * config.patch_size * config.in_channels, config.dim),
      cap_norm_(scope / "cap_embedder" / 0, config.cap_feat_dim, config.norm_eps),
      cap_embedder_(scope / "cap_embedder" / 1, config.cap_feat_dim, config.dim),
      x_pad_token_(scope.take("x_pad_token", {1, config.dim})),
      cap_pad_token_(scope.take("cap_pad_token", {1, config.dim})),
      final_modulation_(scope / "all_final_layer" / concat(config.patch_size, "-1") / "adaLN_modulation" / 1,
                        config.modulation_dim(), config.dim),
      final_linear_(scope / "all_final_layer" / concat(config.patch_size, "-1") / "linear", config.dim,
                    config.patch_size * config.patch_size * config.in_channels) {
  for (std::int64_t i = 0; i < config.n_refiner_layers; ++i) {
    noise_refiner_.emplace_back(scope / "noise_refiner" / i, config, Block::Modulation::kByTimestep);
    context_refiner_.emplace_back(scope / "context_refiner" / i, config, Block::Modulation::kNone);
  }
  for (std::int64_t i = 0; i < config.n_layers; ++i) {
    layers_.emplace_back(scope / "layers" / i, config, Block::Modulation::kByTimestep);
  }
}

void ZImageTransformer2DModel::check(const ZImageInput& input) const {
  const auto& sample = input.sample;
  const auto patch = config_.patch_size, rows = sample.size(0);
  check_patches(sample, config_.in_channels, patch);
  if (input.prompt_embeds.size(0) != rows || static_cast<std::int64_t>(input.prompt_lengths.size()) != rows) {
    reject_input("there are ", rows, " rows, but ", input.prompt_embeds.size(0), " prompts");
  }
  const auto [shortest, longest] = std::minmax_element(input.prompt_lengths.begin(), input.prompt_lengths.end());
  if (*shortest < 1 || *longest > input.prompt_embeds.size(1)) reject_input("`prompt_lengths` is out of range");
  if (config_.padded_length(*longest) + 1 >= config_.axes_lens[0] || sample.size(2) / patch > config_.axes_lens[1] ||
      sample.size(3) / patch > config_.axes_lens[2]) {
    reject_input("the model knows ", config_.axes_lens[0], " text positions and images of at most ",
                 config_.axes_lens[1], "x", config_.axes_lens[2], " patches");
  }
}

at::Tensor ZImageTransformer2DModel::embed_timesteps(const at::Tensor& timesteps, const RunContext& ctx) const {
  const auto waves = timesteps_(timesteps * config_.t_scale).to(dtype_);
  return t_embedder_2_(activate_in_place(Activation::kSilu, t_embedder_1_(waves, ctx)), ctx);
}

// [B, C, h, w] -> [B, L, dim], with padding tokens at the end
at::Tensor ZImageTransformer2DModel::embed_image(const at::Tensor& sample, const RunContext& ctx) const {
  const auto patch = config_.patch_size, rows = sample.size(2) / patch, columns = sample.size(3) / patch;
  const auto patches = sample.reshape({sample.size(0), config_.in_channels, rows, patch, columns, patch})
                           .permute({0, 2, 4, 3, 5, 1})
                           .reshape({sample.size(0), rows * columns, -1});
  const auto tokens = x_embedder_(patches, ctx);
  const auto missing = config_.padded_length(rows * columns) - rows * columns;
  return missing == 0 ? tokens : at::cat({tokens, x_pad_token_.expand({sample.size(0), missing, -1})}, /*dim=*/1);
}

at::Tensor ZImageTransformer2DModel::embed_caption(const ZImageInput& input, std::int64_t length,
                                                   const RunContext& ctx) const {
  const auto known = std::min(input.prompt_embeds.size(1), length), rows = input.sample.size(0);
  auto tokens = cap_embedder_(cap_norm_(input.prompt_embeds.narrow(1, 0, known)), ctx);
  if (known < length) tokens = at::cat({tokens, cap_pad_token_.expand({rows, length - known, -1})}, /*dim=*/1);
  // Adding zeros is exact, and unlike at::where it is known on tensors without memory, by which memory is estimated.
  const auto is_own = count_to(length, input).lt(column(input.prompt_lengths, input)).unsqueeze(2).to(dtype_);
  return tokens.mul_(is_own).add_(cap_pad_token_ * (1 - is_own));  // is_own: [B, length, 1]
}

ZImageTransformer2DModel::Sequence ZImageTransformer2DModel::image_sequence(const ZImageInput& input) const {
  const auto rows = input.sample.size(2) / config_.patch_size, columns = input.sample.size(3) / config_.patch_size;
  const auto tokens = rows * columns, length = config_.padded_length(tokens), batch = input.sample.size(0);
  const auto index = count_to(tokens, input);
  // The image comes after the padded caption; padding tokens are at the origin.
  const auto text = (column(padded_lengths(input), input) + 1).expand({batch, tokens});
  auto positions = positions_of(text, index.div(columns, "floor"), index.remainder(columns));
  if (length > tokens) {
    positions = at::cat({positions, at::zeros({batch, length - tokens, 3}, positions.options())}, /*dim=*/1);
  }
  return {.rotary = axes_rotary_table(positions, config_.axes_dims, config_.rope_theta), .mask = {}};
}

ZImageTransformer2DModel::Sequence ZImageTransformer2DModel::caption_sequence(const ZImageInput& input,
                                                                              std::int64_t length) const {
  const auto lengths = padded_lengths(input);
  const auto index = count_to(length, input);
  const auto text = (index + 1).expand({input.sample.size(0), length}), origin = at::zeros({1}, index.options());
  Sequence sequence{
      .rotary = axes_rotary_table(positions_of(text, origin, origin), config_.axes_dims, config_.rope_theta),
      .mask = {}};
  if (std::ranges::any_of(lengths, [&](std::int64_t own) { return own != length; })) {
    sequence.mask = index.lt(column(lengths, input)).unsqueeze(1).unsqueeze(1);
  }
  return sequence;
}

at::Tensor ZImageTransformer2DModel::to_latents(const at::Tensor& tokens, const at::Tensor& modulation,
                                                const ZImageInput& input, const RunContext& ctx) const {
  const auto patch = config_.patch_size;
  const auto rows = input.sample.size(2) / patch, columns = input.sample.size(3) / patch;
  const auto scale = final_modulation_(activate(Activation::kSilu, modulation), ctx).unsqueeze(1) + 1;
  const auto normed = at::layer_norm(tokens, {config_.dim}, /*weight=*/{}, /*bias=*/{}, kFinalEps).mul_(scale);
  return patches_to_map(final_linear_(normed, ctx).narrow(1, 0, rows * columns), rows, columns, patch);
}

at::Tensor ZImageTransformer2DModel::run_blocks(const std::vector<Block>& blocks, at::Tensor x,
                                                const Sequence& sequence, const at::Tensor& modulation,
                                                const RunContext& ctx) {
  for (const auto& block : blocks) {
    ctx.throw_if_cancelled();
    x = block(x, sequence, modulation, ctx);
  }
  return x;
}

// [B, caption_length, dim]. No timestep enters these blocks.
at::Tensor ZImageTransformer2DModel::refine_captions(const ZImageInput& input, const RunContext& ctx) const {
  const PromptPart all{.first = 0, .count = input.prompt_embeds.size(0), .tokens = input.prompt_embeds.size(1)};
  return once_per_prompt(cap_embedder_.slot(), all, ctx, [&](const PromptPart& part) {
    const auto lengths = input.prompt_lengths.begin() + part.first;
    const ZImageInput own{.sample = input.sample.narrow(0, part.first, part.count),
                          .timesteps = input.timesteps.narrow(0, part.first, part.count),
                          .prompt_embeds = part.of(input.prompt_embeds),
                          .prompt_lengths = {lengths, lengths + part.count}};
    const auto length = caption_length(own);
    return run_blocks(context_refiner_, embed_caption(own, length, ctx), caption_sequence(own, length),
                      /*modulation=*/{}, ctx);
  });
}

at::Tensor ZImageTransformer2DModel::operator()(const ZImageInput& input, const RunContext& ctx) const {
  check(input);
  offload_handle_.make_resident();
  const auto modulation = embed_timesteps(input.timesteps, ctx);  // [B, modulation_dim]
  const auto image_tokens = image_sequence(input), caption_tokens = caption_sequence(input, caption_length(input));
  auto image = run_blocks(noise_refiner_, embed_image(input.sample, ctx), image_tokens, modulation, ctx);
  auto caption = refine_captions(input, ctx);

  const auto joined = [](const at::Tensor& a, const at::Tensor& b) { return at::cat({a, b}, /*dim=*/1); };
  Sequence all{.rotary = {.cos = joined(image_tokens.rotary.cos, caption_tokens.rotary.cos),
                          .sin = joined(image_tokens.rotary.sin, caption_tokens.rotary.sin)},
               .mask = {}};
  if (const auto& mask = caption_tokens.mask; mask.defined()) {
    all.mask = at::cat({at::full({mask.size(0), 1, 1, image.size(1)}, true, mask.options()), mask}, /*dim=*/3);
  }
  auto tokens = joined(image, caption);
  image = caption = at::Tensor();  // their memory is free while the blocks run
  return to_latents(run_blocks(layers_, std::move(tokens), all, modulation, ctx), modulation, input, ctx);
}

}  // namespace easel
