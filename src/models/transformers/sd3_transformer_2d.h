// The denoising model of Stable Diffusion 3 and 3.5.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/config.h"
#include "nn/embeddings.h"
#include "nn/feed_forward.h"
#include "nn/layers.h"
#include "nn/transformer/adaptive_norm.h"
#include "nn/transformer/joint_attention.h"

namespace easel {

/// transformer/config.json. Names and defaults are diffusers'.
struct SD3Transformer2DConfig {
  std::int64_t patch_size = 2;
  std::int64_t in_channels = 16;
  std::int64_t out_channels = 16;
  std::int64_t num_layers = 18;
  std::int64_t attention_head_dim = 64;
  std::int64_t num_attention_heads = 18;
  std::int64_t joint_attention_dim = 4096;
  std::int64_t pooled_projection_dim = 2048;
  std::int64_t pos_embed_max_size = 96;  ///< patches along an edge of the largest image
  std::vector<std::int64_t> dual_attention_layers = {};
  bool qk_norm = false;  ///< "rms_norm"

  std::int64_t inner_dim() const { return num_attention_heads * attention_head_dim; }
  bool has_dual_attention(std::int64_t layer) const;

  /// @throws Error(kCorruptData, kUnsupported)  names the field
  static SD3Transformer2DConfig from(Config& config);
};

/// B rows, each with its own timestep and prompt.
struct SD3Input {
  at::Tensor sample;              ///< [B, in_channels, h, w], h and w multiples of the patch size
  at::Tensor timesteps;           ///< float32 [B]: 1000 for noise, 0 for an image without noise
  at::Tensor prompt_embeds;       ///< [B, T, joint_attention_dim]
  at::Tensor pooled_projections;  ///< [B, pooled_projection_dim]
};

/// Esser et al. 2024 (arXiv:2403.03206): a transformer in which image and text have weights of their own and attend to
/// each other. In the blocks of `dual_attention_layers`, the image also attends to itself only. Numbers agree with
/// diffusers 0.42.1, transformer_sd3.py. Immutable once made; calls are thread-safe, with adapters as well, unless the
/// model takes turns on its device with others (see ComponentOffloader).
class SD3Transformer2DModel {
 public:
  /// Takes its tensors from scope; Weights::finish reports missing tensors.
  SD3Transformer2DModel(const SD3Transformer2DConfig& config, const ModuleScope& scope);

  const SD3Transformer2DConfig& config() const { return config_; }
  const std::shared_ptr<LayerTable>& layer_table() const { return layer_table_; }

  /// The velocity from image to noise.
  /// @return  [B, out_channels, h, w]
  /// @throws Error(kInvalidArgument)  the tensors' shapes do not match, or the image has more patches along an edge
  /// than
  ///                                  `pos_embed_max_size`
  /// @throws Error(kCancelled)
  at::Tensor operator()(const SD3Input& input, const RunContext& ctx) const;

 private:
  class Block {
   public:
    Block(const ModuleScope& scope, const SD3Transformer2DConfig& config, std::int64_t layer);
    /// @param embedding  [B, inner_dim], of timestep and pooled prompt
    /// @return           the shapes of `in`; no text after the last block
    TokenStreams operator()(const TokenStreams& in, const at::Tensor& embedding, const RunContext& ctx) const;

   private:
    /// Attention of the image to itself only, in addition to that of both.
    struct DualAttention {
      HeadProjection heads;
      Linear out;
    };
    at::Tensor image_result(const TokenStreams& in, at::Tensor attended, const std::vector<at::Tensor>& parts,
                            const RunContext& ctx) const;
    at::Tensor text_result(const TokenStreams& in, at::Tensor attended, const std::vector<at::Tensor>& parts,
                           const RunContext& ctx) const;

    OffloadHandle offload_handle_;
    TextOutput text_output_;
    AdaptiveModulation norm1_, norm1_context_;
    JointAttention attn_;
    std::optional<DualAttention> attn2_;
    FeedForward ff_;
    std::optional<FeedForward> ff_context_;
  };

  void check(const SD3Input& input) const;
  at::Tensor embed_image(const at::Tensor& sample, const RunContext& ctx) const;
  at::Tensor embed_conditioning(const SD3Input& input, const RunContext& ctx) const;
  at::Tensor to_latents(const at::Tensor& tokens, const at::Tensor& embedding, const SD3Input& input,
                        const RunContext& ctx) const;

  SD3Transformer2DConfig config_;
  OffloadHandle offload_handle_;
  std::shared_ptr<LayerTable> layer_table_;
  Conv2d patch_embed_;
  at::Tensor pos_embed_;  // [1, pos_embed_max_size^2, inner_dim]
  c10::ScalarType dtype_;
  Timesteps timesteps_;
  TimestepEmbedding timestep_embedder_, text_embedder_;
  Linear context_embedder_;
  std::vector<Block> blocks_;
  AdaptiveModulation norm_out_;
  Linear proj_out_;
};

}  // namespace easel
