// The denoising model of FLUX.2.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/config.h"
#include "nn/embeddings.h"
#include "nn/layers.h"
#include "nn/transformer/adaptive_norm.h"
#include "nn/transformer/joint_attention.h"
#include "nn/transformer/rms_norm.h"

namespace easel {

/// transformer/config.json. Names and defaults are diffusers'.
struct Flux2Transformer2DConfig {
  std::int64_t in_channels = 128;
  std::int64_t num_layers = 8;
  std::int64_t num_single_layers = 48;
  std::int64_t attention_head_dim = 128;
  std::int64_t num_attention_heads = 48;
  std::int64_t joint_attention_dim = 15360;  ///< width of a prompt's token
  std::int64_t timestep_guidance_channels = 256;
  double mlp_ratio = 3.0;
  std::vector<std::int64_t> axes_dims_rope = {32, 32, 32, 32};  ///< channels of a head for image, row, column and text
  double rope_theta = 2000.0;
  double eps = 1e-6;

  std::int64_t dim() const { return num_attention_heads * attention_head_dim; }
  std::int64_t mlp_dim() const { return static_cast<std::int64_t>(static_cast<double>(dim()) * mlp_ratio); }

  /// @throws Error(kCorruptData, kUnsupported)  names the field
  static Flux2Transformer2DConfig from(Config& config);
};

/// B rows, each with its own timestep, prompt and references.
struct Flux2Input {
  at::Tensor sample;         ///< [B, in_channels, h, w]; every cell is a token
  at::Tensor timesteps;      ///< [B], of any float dtype: 1 for noise, 0 for an image without noise
  at::Tensor prompt_embeds;  ///< [B, T, joint_attention_dim]
  /// Latents of images that the model sees along with the sample, in order: [B, in_channels, h_k, w_k].
  std::vector<at::Tensor> references = {};
};

/// Black Forest Labs 2025: a transformer over the tokens of prompt, image and references, first in two streams with
/// weights of their own (Esser et al. 2024, arXiv:2403.03206) and then in one. All blocks of a kind share their
/// modulation. Numbers agree with diffusers 0.42.1, transformer_flux2.py. Immutable once made; calls are thread-safe,
/// with adapters as well, unless the model takes turns on its device with others (see ComponentOffloader).
class Flux2Transformer2DModel {
 public:
  /// Takes its tensors from scope; Weights::finish reports missing tensors.
  Flux2Transformer2DModel(const Flux2Transformer2DConfig& config, const ModuleScope& scope);

  const Flux2Transformer2DConfig& config() const { return config_; }
  const std::shared_ptr<LayerTable>& layer_table() const { return layer_table_; }

  /// The velocity from image to noise.
  /// @return  [B, in_channels, h, w]. A row does not depend on the others
  /// @throws Error(kInvalidArgument)  the tensors' shapes do not match
  /// @throws Error(kCancelled)
  at::Tensor operator()(const Flux2Input& input, const RunContext& ctx) const;

 private:
  /// SwiGLU whose gate and values come from one layer: linear_out(silu(a) * b), [a | b] = linear_in(x).
  class FeedForward {
   public:
    FeedForward(const ModuleScope& scope, const Flux2Transformer2DConfig& config);
    at::Tensor operator()(const at::Tensor& x, const RunContext& ctx) const;  // [B, L, dim] -> [B, L, dim]

   private:
    Linear linear_in_, linear_out_;
  };

  /// Image and prompt each in a stream of its own, which attend to both.
  class DoubleBlock {
   public:
    DoubleBlock(const ModuleScope& scope, const Flux2Transformer2DConfig& config);
    /// @param image, text              [B, L, dim] of either stream, which are replaced
    /// @param image_parts, text_parts  shift, scale and gate of the attention, then of the feed-forward: [B, 1, dim]
    void operator()(at::Tensor& image, at::Tensor& text, const std::vector<at::Tensor>& image_parts,
                    const std::vector<at::Tensor>& text_parts, const TokenSequence& sequence,
                    const RunContext& ctx) const;

   private:
    OffloadHandle offload_handle_;
    JointAttention attention_;
    FeedForward ff_, ff_context_;
    double eps_;
  };

  /// One stream, whose attention and feed-forward run side by side (Dehghani et al. 2023, arXiv:2302.05442).
  class SingleBlock {
   public:
    SingleBlock(const ModuleScope& scope, const Flux2Transformer2DConfig& config);
    /// @param x      [B, L, dim]
    /// @param parts  shift, scale and gate: [B, 1, dim]
    /// @return       the shape of x
    at::Tensor operator()(const at::Tensor& x, const std::vector<at::Tensor>& parts, const TokenSequence& sequence,
                          const RunContext& ctx) const;

   private:
    OffloadHandle offload_handle_;
    Linear to_qkv_mlp_proj_, to_out_;
    RmsNorm norm_q_, norm_k_;
    std::int64_t heads_, dim_, mlp_dim_;
    double eps_;
  };

  void check(const Flux2Input& input) const;
  at::Tensor embed_timesteps(const at::Tensor& timesteps, const RunContext& ctx) const;
  at::Tensor embed_images(const Flux2Input& input, const RunContext& ctx) const;
  TokenSequence sequence_of(const Flux2Input& input) const;
  at::Tensor to_latents(const at::Tensor& tokens, const at::Tensor& temb, const Flux2Input& input,
                        const RunContext& ctx) const;

  Flux2Transformer2DConfig config_;
  OffloadHandle offload_handle_;
  std::shared_ptr<LayerTable> layer_table_;
  c10::ScalarType dtype_;
  Timesteps timesteps_;
  Linear time_1_, time_2_;
  AdaptiveModulation image_modulation_, text_modulation_, single_modulation_;
  Linear x_embedder_, context_embedder_;
  std::vector<DoubleBlock> double_blocks_;
  std::vector<SingleBlock> single_blocks_;
  AdaptiveModulation norm_out_;
  Linear proj_out_;
};

}  // namespace easel
