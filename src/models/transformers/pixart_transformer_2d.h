// The denoising model of PixArt-Sigma.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/config.h"
#include "nn/attention.h"
#include "nn/embeddings.h"
#include "nn/feed_forward.h"
#include "nn/layers.h"

namespace easel {

/// transformer/config.json. Names and defaults are diffusers'.
struct PixArtTransformer2DConfig {
  std::int64_t sample_size = 128;  ///< latent cells along an edge of the native image
  std::int64_t patch_size = 2;
  std::int64_t in_channels = 4;
  std::int64_t out_channels = 8;
  std::int64_t num_layers = 28;
  std::int64_t attention_head_dim = 72;
  std::int64_t num_attention_heads = 16;
  std::int64_t caption_channels = 4096;
  double interpolation_scale = 2;  ///< by which positions are divided
  Bias attention_bias = Bias::kPresent;
  double norm_eps = 1e-6;

  std::int64_t inner_dim() const { return num_attention_heads * attention_head_dim; }

  /// Also reads the config of `Transformer2DModel`, under which name PixArt-Sigma was published.
  /// @throws Error(kCorruptData, kUnsupported)  names the field
  static PixArtTransformer2DConfig from(Config& config);
};

/// B rows, each with its own timestep and prompt.
struct PixArtInput {
  at::Tensor sample;         ///< [B, in_channels, h, w], h and w multiples of the patch size
  at::Tensor timesteps;      ///< float32 [B]
  at::Tensor prompt_embeds;  ///< [B, T, caption_channels]; row i has prompt_lengths[i] tokens and then anything finite
  std::vector<std::int64_t> prompt_lengths;  ///< B numbers, 1 to T
};

/// Chen et al. 2024 (arXiv:2403.04692): a transformer over the tokens of an image, which attend to the prompt. All
/// blocks share one layer that turns the timestep into their shifts, scales and gates (AdaLN-single). Numbers agree
/// with diffusers 0.42.1, pixart_transformer_2d.py. Immutable once made; calls are thread-safe, with adapters as well,
/// unless the model takes turns on its device with others (see ComponentOffloader).
class PixArtTransformer2DModel {
 public:
  /// Takes its tensors from scope; Weights::finish reports missing tensors.
  PixArtTransformer2DModel(const PixArtTransformer2DConfig& config, const ModuleScope& scope);

  const PixArtTransformer2DConfig& config() const { return config_; }
  const std::shared_ptr<LayerTable>& layer_table() const { return layer_table_; }

  /// @return  [B, out_channels, h, w]: the prediction and, with twice as many channels, its variance. A row does not
  ///          depend on the others, nor on their lengths
  /// @throws Error(kInvalidArgument)  the tensors' shapes do not match
  /// @throws Error(kCancelled)
  at::Tensor operator()(const PixArtInput& input, const RunContext& ctx) const;

 private:
  /// What all blocks are given besides their tokens.
  struct Conditioning {
    at::Tensor prompt;      ///< [B, T, inner_dim]
    at::Tensor mask;        ///< bool [B, 1, 1, T]: the tokens that a row has; undefined if every row has all
    at::Tensor modulation;  ///< [B, 6, inner_dim]
  };

  class Block {
   public:
    Block(const ModuleScope& scope, const PixArtTransformer2DConfig& config);
    at::Tensor operator()(const at::Tensor& x, const Conditioning& conditioning,
                          const RunContext& ctx) const;  // [B, L, inner_dim] -> the same

   private:
    OffloadHandle offload_handle_;
    Attention attn1_, attn2_;
    FeedForward ff_;
    at::Tensor scale_shift_table_;  // [6, inner_dim]
    double norm_eps_;
  };

  void check(const PixArtInput& input) const;
  at::Tensor embed_image(const at::Tensor& sample, const RunContext& ctx) const;
  at::Tensor embed_caption(const at::Tensor& prompt_embeds, const RunContext& ctx) const;
  at::Tensor to_latents(const at::Tensor& tokens, const at::Tensor& timesteps, const PixArtInput& input,
                        const RunContext& ctx) const;

  PixArtTransformer2DConfig config_;
  OffloadHandle offload_handle_;
  std::shared_ptr<LayerTable> layer_table_;
  c10::ScalarType dtype_;
  Conv2d patch_embed_;
  Timesteps timesteps_;
  TimestepEmbedding timestep_embedder_;
  Linear modulation_;
  Linear caption_1_, caption_2_;
  std::vector<Block> blocks_;
  at::Tensor scale_shift_table_;  // [2, inner_dim]
  Linear proj_out_;
};

}  // namespace easel
