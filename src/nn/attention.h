// Multi-head attention: the one place where its kernel is chosen.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "nn/layers.h"

namespace easel {

enum class AttentionMask { kNone, kCausal };

/// softmax(q k^T * scale + bias) v, for each head.
///
/// All of libtorch's kernels compute scores and softmax in float32 whatever the dtype, so a config's `upcast_attention`
/// makes no difference.
/// @param query  [B, L, D]
/// @param key    [B, S, D]
/// @param value  [B, S, D]
/// @param bias   undefined, or broadcastable to [B, heads, L, S]: added to the scores where it has the dtype of query;
///               where it is boolean, false hides a key from a query
/// @param scale  none: 1 / sqrt(D / heads)
/// @return       [B, L, D]
at::Tensor multi_head_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                std::int64_t heads, const at::Tensor& bias = {},
                                AttentionMask mask = AttentionMask::kNone, std::optional<double> scale = std::nullopt);

struct AttentionOptions {
  std::int64_t query_dim;
  std::int64_t context_dim;  ///< width of the context; query_dim for self-attention
  std::int64_t heads;
  std::int64_t head_dim;
  Bias projection_bias = Bias::kNone;  ///< of to_q, to_k and to_v
};

/// diffusers' Attention with its default processor, without norms and residual.
class Attention {
 public:
  Attention(const ModuleScope& scope, const AttentionOptions& options);

  /// @param hidden_states  [B, L, query_dim]
  /// @param context        [B, S, context_dim]; hidden_states itself for self-attention
  /// @param bias           as in multi_head_attention
  /// @return               [B, L, query_dim]
  at::Tensor operator()(const at::Tensor& hidden_states, const at::Tensor& context, const at::Tensor& bias,
                        const RunContext& ctx) const;

  /// Attends to the prompts, whose keys and values are computed once for each of them (see once_per_prompt).
  /// @param prompts  [B, S, context_dim], which depends on the prompts only
  at::Tensor to_prompts(const at::Tensor& hidden_states, const at::Tensor& prompts, const at::Tensor& bias,
                        const RunContext& ctx) const;

 private:
  Linear to_q_, to_k_, to_v_, to_out_;
  std::int64_t heads_;
};

}  // namespace easel
