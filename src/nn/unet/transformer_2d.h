// Attention over the cells of a feature map.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <variant>
#include <vector>

#include "nn/attention.h"
#include "nn/feed_forward.h"
#include "nn/run_context.h"

namespace easel {

/// What a transformer attends to besides itself.
struct Conditioning {
  at::Tensor encoder_hidden_states;  ///< [B, S, cross_attention_dim]
  at::Tensor bias;                   ///< undefined, or [B, 1, 1, S]: added to the scores of cross-attention
};

struct TransformerOptions {
  std::int64_t channels;
  std::int64_t heads;
  std::int64_t cross_attention_dim;
  std::int64_t norm_num_groups;
  bool use_linear_projection = false;
  bool only_cross_attention = false;  ///< the first attention attends to the prompt as well
};

/// Self-attention, cross-attention and a feed-forward network, each after a LayerNorm and with a residual connection.
class BasicTransformerBlock {
 public:
  BasicTransformerBlock(const ModuleScope& scope, const TransformerOptions& options);
  /// @param hidden_states  [B, L, heads * (channels / heads)]
  /// @return               the same shape
  at::Tensor operator()(at::Tensor hidden_states, const Conditioning& conditioning, const RunContext& ctx) const;

 private:
  LayerNorm norm1_, norm2_, norm3_;
  Attention attn1_, attn2_;
  FeedForward ff_;
  bool only_cross_attention_;
};

/// diffusers' Transformer2DModel on continuous input.
class Transformer2DModel {
 public:
  Transformer2DModel(const ModuleScope& scope, const TransformerOptions& options, std::int64_t num_layers);
  at::Tensor operator()(const at::Tensor& hidden_states, const Conditioning& conditioning,
                        const RunContext& ctx) const;  // [B, channels, H, W] -> the same shape

 private:
  using Projection = std::variant<Linear, Conv2d>;
  GroupNorm norm_;
  Projection proj_in_, proj_out_;
  std::vector<BasicTransformerBlock> blocks_;
};

}  // namespace easel
