// Attention over the cells of a feature map in UNets in the style of k-diffusion.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "nn/attention.h"
#include "nn/run_context.h"
#include "nn/unet/resnet_cond_norm.h"
#include "nn/unet/transformer_2d.h"

namespace easel {

struct KAttentionOptions {
  std::int64_t channels;
  std::int64_t head_dim;
  std::int64_t cross_attention_dim;
  std::int64_t temb_channels;
  std::int64_t groups;
  bool self_attention;  ///< the map attends to itself before it attends to the prompt
};

/// diffusers' KAttentionBlock with a layer norm over the prompt.
class KAttentionBlock {
 public:
  KAttentionBlock(const ModuleScope& scope, const KAttentionOptions& options);
  /// @param hidden_states  [B, channels, H, W]
  /// @param temb           [B, temb_channels]
  /// @return               the same shape
  at::Tensor operator()(at::Tensor hidden_states, const at::Tensor& temb, const Conditioning& prompt,
                        const RunContext& ctx) const;

 private:
  std::optional<AdaGroupNorm> norm1_;
  std::optional<Attention> attn1_;
  AdaGroupNorm norm2_;
  LayerNorm norm_cross_;
  Attention attn2_;
};

}  // namespace easel
