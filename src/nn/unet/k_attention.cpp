#include "nn/unet/k_attention.h"

#include "nn/layout.h"

namespace easel {
namespace {

AttentionOptions k_attention_options(const KAttentionOptions& options, std::int64_t context_dim) {
  return {.query_dim = options.channels,
          .context_dim = context_dim,
          .heads = options.channels / options.head_dim,
          .head_dim = options.head_dim,
          .projection_bias = Bias::kPresent};
}

AdaGroupNormOptions norm_options(const KAttentionOptions& options) {
  return {.embedding_dim = options.temb_channels, .channels = options.channels, .groups = options.groups};
}

}  // namespace

KAttentionBlock::KAttentionBlock(const ModuleScope& scope, const KAttentionOptions& options)
    : norm2_(scope / "norm2", norm_options(options)),
      norm_cross_(scope / "attn2" / "norm_cross", options.cross_attention_dim),
      attn2_(scope / "attn2", k_attention_options(options, options.cross_attention_dim)) {
  if (options.self_attention) {
    norm1_.emplace(scope / "norm1", norm_options(options));
    attn1_.emplace(scope / "attn1", k_attention_options(options, options.channels));
  }
}

at::Tensor KAttentionBlock::operator()(at::Tensor hidden_states, const at::Tensor& temb, const Conditioning& prompt,
                                       const RunContext& ctx) const {
  ctx.throw_if_cancelled();
  const auto height = hidden_states.size(2), width = hidden_states.size(3);
  if (attn1_) {
    const auto tokens = to_tokens((*norm1_)(hidden_states, temb, ctx));  // [B, HW, channels]
    hidden_states = hidden_states.add(to_map((*attn1_)(tokens, tokens, /*bias=*/{}, ctx), height, width));
  }
  const auto tokens = to_tokens(norm2_(hidden_states, temb, ctx));
  const auto attended = attn2_.to_prompts(tokens, norm_cross_(prompt.encoder_hidden_states, ctx), prompt.bias, ctx);
  return hidden_states.add(to_map(attended, height, width));
}

}  // namespace easel
