// The denoising model of FLUX.1.
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
struct FluxTransformer2DConfig {
  std::int64_t in_channels = 64;  ///< of a token, which is a patch of 2 x 2 latent cells
  std::int64_t num_layers = 19;
  std::int64_t num_single_layers = 38;
  std::int64_t attention_head_dim = 128;
  std::int64_t num_attention_heads = 24;
  std::int64_t joint_attention_dim = 4096;  ///< of the prompt's tokens
  std::int64_t pooled_projection_dim = 768;
  bool guidance_embeds = false;
  std::vector<std::int64_t> axes_dims_rope = {16, 56, 56};  ///< channels of a head for image index, row and column

  std::int64_t inner_dim() const { return num_attention_heads * attention_head_dim; }
  std::int64_t latent_channels() const { return in_channels / 4; }

  /// @throws Error(kCorruptData, kUnsupported)  names the field
  static FluxTransformer2DConfig from(Config& config);
};

/// B rows, each with its own timestep, guidance scale and prompt.
struct FluxInput {
  at::Tensor sample;         ///< [B, latent_channels(), h, w], h and w even
  at::Tensor timesteps;      ///< [B], 0 to 1: the noise level
  at::Tensor guidance = {};  ///< [B]: the guidance scale; undefined without `guidance_embeds`
  at::Tensor prompt_embeds;  ///< [B, T, joint_attention_dim]
  at::Tensor pooled_prompt;  ///< [B, pooled_projection_dim]
  at::Tensor reference =
      {};  ///< [B, latent_channels(), h', w']: an image that the model sees (Kontext); may be undefined
};

/// Black Forest Labs 2024: blocks over image and text as two streams, then blocks over both as one. Numbers agree with
/// diffusers 0.42.1, transformer_flux.py. Immutable once made; calls are thread-safe, with adapters as well, unless the
/// model takes turns on its device with others (see ComponentOffloader).
class FluxTransformer2DModel {
 public:
  /// Takes its tensors from scope; Weights::finish reports missing tensors.
  FluxTransformer2DModel(const FluxTransformer2DConfig& config, const ModuleScope& scope);

  const FluxTransformer2DConfig& config() const { return config_; }
  const std::shared_ptr<LayerTable>& layer_table() const { return layer_table_; }

  /// The velocity from image to noise.
  /// @return  [B, latent_channels(), h, w]. A row does not depend on the others
  /// @throws Error(kInvalidArgument)  the tensors' shapes do not match
  /// @throws Error(kCancelled)
  at::Tensor operator()(const FluxInput& input, const RunContext& ctx) const;

 private:
  /// A block over two streams.
  class DoubleBlock {
   public:
    DoubleBlock(const ModuleScope& scope, const FluxTransformer2DConfig& config);
    TokenStreams operator()(const TokenStreams& x, const at::Tensor& embedding, const TokenSequence& sequence,
                            const RunContext& ctx) const;

   private:
    OffloadHandle offload_handle_;
    AdaptiveModulation image_modulation_, text_modulation_;
    JointAttention attention_;
    FeedForward image_feed_forward_, text_feed_forward_;
  };

  /// A block over the text's and the image's tokens together, with attention and MLP side by side.
  class SingleBlock {
   public:
    SingleBlock(const ModuleScope& scope, const FluxTransformer2DConfig& config);
    at::Tensor operator()(const at::Tensor& x, const at::Tensor& embedding, const TokenSequence& sequence,
                          const RunContext& ctx) const;

   private:
    OffloadHandle offload_handle_;
    AdaptiveModulation modulation_;
    HeadProjection heads_;
    Linear proj_mlp_, proj_out_;
  };

  void check(const FluxInput& input) const;
  at::Tensor embed(const FluxInput& input, const RunContext& ctx) const;
  TokenSequence sequence_of(const FluxInput& input) const;
  at::Tensor to_latents(const at::Tensor& tokens, const at::Tensor& embedding, const FluxInput& input,
                        const RunContext& ctx) const;

  FluxTransformer2DConfig config_;
  OffloadHandle offload_handle_;
  std::shared_ptr<LayerTable> layer_table_;
  c10::ScalarType dtype_;
  Timesteps timesteps_;
  TimestepEmbedding timestep_embedder_;
  std::optional<TimestepEmbedding> guidance_embedder_;
  TimestepEmbedding text_embedder_;
  Linear context_embedder_, x_embedder_;
  std::vector<DoubleBlock> transformer_blocks_;
  std::vector<SingleBlock> single_transformer_blocks_;
  AdaptiveModulation norm_out_;
  Linear proj_out_;
};

}  // namespace easel
