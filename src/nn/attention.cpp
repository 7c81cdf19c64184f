#include "nn/attention.h"

#include <ATen/ops/scaled_dot_product_attention.h>

#include "nn/kernels/blocked_attention.h"

namespace easel {
namespace {

at::Tensor split_heads(const at::Tensor& x, std::int64_t heads) {  // [B, L, D] -> [B, heads, L, D / heads]
  return x.view({x.size(0), x.size(1), heads, x.size(2) / heads}).transpose(1, 2);
}

}  // namespace

at::Tensor multi_head_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                std::int64_t heads, const at::Tensor& bias, AttentionMask mask,
                                std::optional<double> scale) {
  if (query.device().is_cpu() && mask == AttentionMask::kNone && is_bias_per_key(bias) && !scale && query.numel() > 0 &&
      key.size(1) > 0 && has_blocked_attention(query.scalar_type(), query.size(2) / heads)) {
    return blocked_attention(query, key, value, heads, bias);
  }
  const auto attn_mask = bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt;
  const auto out = at::scaled_dot_product_attention(split_heads(query, heads), split_heads(key, heads),
                                                    split_heads(value, heads), attn_mask, /*dropout_p=*/0.0,
                                                    /*is_causal=*/mask == AttentionMask::kCausal, scale);
  return out.transpose(1, 2).reshape(query.sizes());  // [B, heads, L, D / heads] -> [B, L, D]
}

Attention::Attention(const ModuleScope& scope, const AttentionOptions& options)
    : to_q_(scope / "to_q", options.query_dim, options.heads * options.head_dim, options.projection_bias),
      to_k_(scope / "to_k", options.context_dim, options.heads * options.head_dim, options.projection_bias),
      to_v_(scope / "to_v", options.context_dim, options.heads * options.head_dim, options.projection_bias),
      to_out_(scope / "to_out" / 0, options.heads * options.head_dim, options.query_dim),
      heads_(options.heads) {}

at::Tensor Attention::operator()(const at::Tensor& hidden_states, const at::Tensor& context, const at::Tensor& bias,
                                 const RunContext& ctx) const {
  const auto query = to_q_(hidden_states, ctx), key = to_k_(context, ctx), value = to_v_(context, ctx);
  return to_out_(multi_head_attention(query, key, value, heads_, bias), ctx);
}

at::Tensor Attention::to_prompts(const at::Tensor& hidden_states, const at::Tensor& prompts, const at::Tensor& bias,
                                 const RunContext& ctx) const {
  const auto query = to_q_(hidden_states, ctx);
  const auto key = to_k_.of_prompts(prompts, ctx), value = to_v_.of_prompts(prompts, ctx);
  return to_out_(multi_head_attention(query, key, value, heads_, bias), ctx);
}

}  // namespace easel
