// The denoising model of Z-Image.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/config.h"
#include "nn/embeddings.h"
#include "nn/layers.h"
#include "nn/transformer/gated_mlp.h"
#include "nn/transformer/rms_norm.h"
#include "nn/transformer/rotary.h"

namespace easel {

/// transformer/config.json. Names and defaults are diffusers'.
struct ZImageTransformer2DConfig {
  std::int64_t patch_size = 2;  ///< the one of `all_patch_size`
  std::int64_t in_channels = 16;
  std::int64_t dim = 3840;
  std::int64_t n_layers = 30;
  std::int64_t n_refiner_layers = 2;
  std::int64_t n_heads = 30;
  double norm_eps = 1e-5;
  bool qk_norm = true;
  std::int64_t cap_feat_dim = 2560;
  double rope_theta = 256.0;
  double t_scale = 1000.0;
  std::vector<std::int64_t> axes_dims = {32, 48, 48};      ///< channels of a head for text position, row and column
  std::vector<std::int64_t> axes_lens = {1024, 512, 512};  ///< positions of each axis that the model knows

  /// Width of the timestep's embedding, from which the blocks are modulated.
  std::int64_t modulation_dim() const;
  /// The tokens that a caption or an image of `tokens` tokens takes: the next multiple of 32.
  static std::int64_t padded_length(std::int64_t tokens);

  /// @throws Error(kCorruptData, kUnsupported)  names the field
  static ZImageTransformer2DConfig from(Config& config);
};

/// B rows, each with its own timestep and prompt.
struct ZImageInput {
  at::Tensor sample;         ///< [B, in_channels, h, w], h and w multiples of the patch size
  at::Tensor timesteps;      ///< float32 [B]: 0 for noise, 1 for an image without noise
  at::Tensor prompt_embeds;  ///< [B, T, cap_feat_dim]; row i has prompt_lengths[i] tokens and then anything finite
  std::vector<std::int64_t> prompt_lengths;  ///< B numbers, 1 to T
};

/// Z-Image Team 2025 (arXiv:2511.22699): a transformer over the tokens of image and caption together, each refined by
/// blocks of its own before. Numbers agree with diffusers 0.42.1, transformer_z_image.py. Immutable once made; calls
/// are thread-safe, with adapters as well, unless the model takes turns on its device with others (see
/// ComponentOffloader).
class ZImageTransformer2DModel {
 public:
  /// Takes its tensors from scope; Weights::finish reports missing tensors.
  ZImageTransformer2DModel(const ZImageTransformer2DConfig& config, const ModuleScope& scope);

  const ZImageTransformer2DConfig& config() const { return config_; }
  const std::shared_ptr<LayerTable>& layer_table() const { return layer_table_; }

  /// The velocity from noise to image.
  /// @return  [B, in_channels, h, w]. A row does not depend on the others, nor on their lengths
  /// @throws Error(kInvalidArgument)  the tensors' shapes do not match, or there are more positions than `axes_lens`
  /// @throws Error(kCancelled)
  at::Tensor operator()(const ZImageInput& input, const RunContext& ctx) const;

 private:
  /// What the tokens of one stack of blocks have in common.
  struct Sequence {
    RotaryTable rotary;  ///< [B, L, D / 2]
    at::Tensor mask;     ///< bool [B, 1, 1, L]: the tokens that a row has; undefined if every row has all
  };

  class Block {
   public:
    enum class Modulation { kNone, kByTimestep };
    Block(const ModuleScope& scope, const ZImageTransformer2DConfig& config, Modulation modulation);
    /// @param x           [B, L, dim]
    /// @param modulation  [B, modulation_dim]; undefined without modulation
    /// @return            the shape of x
    at::Tensor operator()(const at::Tensor& x, const Sequence& sequence, const at::Tensor& modulation,
                          const RunContext& ctx) const;

   private:
    at::Tensor attend(const at::Tensor& x, const Sequence& sequence, const RunContext& ctx) const;

    OffloadHandle offload_handle_;
    Linear to_q_, to_k_, to_v_, to_out_;
    std::optional<RmsNorm> norm_q_, norm_k_;
    GatedMlp feed_forward_;
    RmsNorm attention_norm1_, attention_norm2_, ffn_norm1_, ffn_norm2_;
    std::optional<Linear> modulation_;
    std::int64_t heads_;
  };

  void check(const ZImageInput& input) const;
  at::Tensor embed_timesteps(const at::Tensor& timesteps, const RunContext& ctx) const;
  at::Tensor embed_image(const at::Tensor& sample, const RunContext& ctx) const;
  at::Tensor embed_caption(const ZImageInput& input, std::int64_t length, const RunContext& ctx) const;
  Sequence image_sequence(const ZImageInput& input) const;
  Sequence caption_sequence(const ZImageInput& input, std::int64_t length) const;
  at::Tensor refine_captions(const ZImageInput& input, const RunContext& ctx) const;
  static at::Tensor run_blocks(const std::vector<Block>& blocks, at::Tensor x, const Sequence& sequence,
                               const at::Tensor& modulation, const RunContext& ctx);
  at::Tensor to_latents(const at::Tensor& tokens, const at::Tensor& modulation, const ZImageInput& input,
                        const RunContext& ctx) const;

  ZImageTransformer2DConfig config_;
  OffloadHandle offload_handle_;
  std::shared_ptr<LayerTable> layer_table_;
  c10::ScalarType dtype_;
  Timesteps timesteps_;
  Linear t_embedder_1_, t_embedder_2_;
  Linear x_embedder_;
  RmsNorm cap_norm_;
  Linear cap_embedder_;
  at::Tensor x_pad_token_, cap_pad_token_;  // [1, dim]
  std::vector<Block> noise_refiner_, context_refiner_, layers_;
  Linear final_modulation_, final_linear_;
};

}  // namespace easel
