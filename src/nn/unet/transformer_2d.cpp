#include "nn/unet/transformer_2d.h"

#include "nn/layout.h"

namespace easel {
namespace {

constexpr double kNormEps = 1e-6;  // fixed in diffusers, whatever the UNet's norm_eps

// Heads share the channels evenly; a remainder is left out, as in diffusers.
std::int64_t head_dim(const TransformerOptions& options) {
  return options.channels / options.heads;
}
std::int64_t inner_dim(const TransformerOptions& options) {
  return options.heads * head_dim(options);
}

AttentionOptions attention_options(const TransformerOptions& options, bool cross) {
  return {.query_dim = inner_dim(options),
          .context_dim = cross ? options.cross_attention_dim : inner_dim(options),
          .heads = options.heads,
          .head_dim = head_dim(options)};
}

constexpr Conv2dOptions kPointwise{.kernel = 1, .stride = 1, .padding = 0};

}  // namespace

BasicTransformerBlock::BasicTransformerBlock(const ModuleScope& scope, const TransformerOptions& options)
    : norm1_(scope / "norm1", inner_dim(options)),
      norm2_(scope / "norm2", inner_dim(options)),
      norm3_(scope / "norm3", inner_dim(options)),
      attn1_(scope / "attn1", attention_options(options, /*cross=*/options.only_cross_attention)),
      attn2_(scope / "attn2", attention_options(options, /*cross=*/true)),
      ff_(scope / "ff", inner_dim(options)),
      only_cross_attention_(options.only_cross_attention) {}

at::Tensor BasicTransformerBlock::operator()(at::Tensor hidden_states, const Conditioning& conditioning,
                                             const RunContext& ctx) const {
  ctx.throw_if_cancelled();
  const auto& prompt = conditioning.encoder_hidden_states;
  {
    const auto normed = norm1_(hidden_states, ctx);  // [B, L, D]
    // The prompt's mask belongs to the second attention only, even if the first attends to the prompt as well.
    const auto attended =
        only_cross_attention_ ? attn1_.to_prompts(normed, prompt, {}, ctx) : attn1_(normed, normed, {}, ctx);
    hidden_states = attended.add_(hidden_states);
  }
  hidden_states = attn2_.to_prompts(norm2_(hidden_states, ctx), prompt, conditioning.bias, ctx).add_(hidden_states);
  return ff_(norm3_(hidden_states, ctx), ctx).add_(hidden_states);
}

Transformer2DModel::Transformer2DModel(const ModuleScope& scope, const TransformerOptions& options,
                                       std::int64_t num_layers)
    : norm_(scope / "norm", options.norm_num_groups, options.channels, kNormEps),
      proj_in_(options.use_linear_projection
                   ? Projection(Linear(scope / "proj_in", options.channels, inner_dim(options)))
                   : Projection(Conv2d(scope / "proj_in", options.channels, inner_dim(options), kPointwise))),
      proj_out_(options.use_linear_projection
                    ? Projection(Linear(scope / "proj_out", inner_dim(options), options.channels))
                    : Projection(Conv2d(scope / "proj_out", inner_dim(options), options.channels, kPointwise))) {
  for (std::int64_t i = 0; i < num_layers; ++i) blocks_.emplace_back(scope / "transformer_blocks" / i, options);
}

at::Tensor Transformer2DModel::operator()(const at::Tensor& hidden_states, const Conditioning& conditioning,
                                          const RunContext& ctx) const {
  const auto height = hidden_states.size(2), width = hidden_states.size(3);
  auto tokens = norm_(hidden_states, ctx);  // [B, C, H, W]
  if (const auto* conv = std::get_if<Conv2d>(&proj_in_)) {
    tokens = to_tokens((*conv)(tokens, ctx));  // [B, HW, D]
  } else {
    tokens = std::get<Linear>(proj_in_)(to_tokens(tokens), ctx);  // [B, HW, D]
  }

  for (const auto& block : blocks_) tokens = block(std::move(tokens), conditioning, ctx);

  if (const auto* conv = std::get_if<Conv2d>(&proj_out_)) {
    tokens = (*conv)(to_map(tokens, height, width), ctx);  // [B, C, H, W]
  } else {
    tokens = to_map(std::get<Linear>(proj_out_)(tokens, ctx), height, width);  // [B, C, H, W]
  }
  return tokens.add_(hidden_states);
}

}  // namespace easel
