// The variational autoencoder between pixels and latents.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/config.h"
#include "models/autoencoders/autoencoder_blocks.h"
#include "models/autoencoders/autoencoder_tiny.h"
#include "nn/layers.h"
#include "nn/module_scope.h"
#include "nn/run_context.h"

namespace easel {

/// vae/config.json of an AutoencoderKL, of an AutoencoderKLFlux2, which is the same network with other defaults and
/// with statistics of its latents, or of an AutoencoderTiny. Names and defaults are diffusers'.
struct AutoencoderKLConfig {
  std::int64_t in_channels = 3;
  std::int64_t out_channels = 3;
  std::int64_t latent_channels = 4;
  std::vector<std::int64_t> block_out_channels = {64};
  std::optional<std::vector<std::int64_t>> decoder_block_out_channels;  ///< none: those of the encoder
  std::int64_t layers_per_block = 1;
  std::int64_t norm_num_groups = 32;
  Activation act_fn = Activation::kSilu;
  bool use_quant_conv = true;
  bool use_post_quant_conv = true;
  bool mid_block_add_attention = true;
  /// Of AutoencoderKLFlux2: latents along each edge of a patch that denoising models see as one cell; 1 for
  /// AutoencoderKL.
  std::int64_t patch_size = 1;
  double batch_norm_eps = 1e-4;               ///< of the statistics of patches
  std::optional<AutoencoderTinyConfig> tiny;  ///< of an AutoencoderTiny, whose sizes are not those above
  // The model does not use the fields below; they are for the pipeline.
  double scaling_factor = 0.18215;                               ///< latents times this have unit variance
  std::optional<double> shift_factor;                            ///< subtracted before scaling
  std::optional<std::vector<double>> latents_mean, latents_std;  ///< one number per latent channel
  std::optional<std::int64_t> sample_size;  ///< edge in pixels of the tiles that a large image is cut into
  bool force_upcast = true;                 ///< run in float32 even if the UNet runs in half precision

  /// Pixels per latent cell, along each edge.
  std::int64_t scale() const { return std::int64_t{1} << (block_out_channels.size() - 1); }
  /// The channels that an image is encoded to: the mean and the logarithm of the variance, or latents that are certain.
  std::int64_t moments() const { return tiny ? latent_channels : 2 * latent_channels; }
  /// The channels of a patch.
  std::int64_t patch_channels() const { return latent_channels * patch_size * patch_size; }

  /// @throws Error(kCorruptData, kUnsupported)  names the field
  static AutoencoderKLConfig from(Config& config);
};

/// The result of encoding: a normal distribution for each number of the latents.
struct DiagonalGaussianDistribution {
  at::Tensor mean;    ///< [B, latent_channels, h, w]
  at::Tensor logvar;  ///< the same shape, within -30 to 20; undefined where the latents are certain

  /// Whether `sample` uses its noise. The reference draws none where it does not.
  bool is_random() const { return logvar.defined(); }

  /// @param moments  [B, 2 latent_channels, h, w]: mean and logarithm of the variance, as an encoder returns them
  static DiagonalGaussianDistribution of(const at::Tensor& moments);

  /// @param noise  standard normal, of mean's shape, dtype and device
  at::Tensor sample(const at::Tensor& noise) const;
};

/// Kingma and Welling 2013 (arXiv:1312.6114), as trained for latent diffusion (Rombach et al. 2022, arXiv:2112.10752).
/// Numbers agree with diffusers 0.42.1, autoencoder_kl.py. Also AutoencoderTiny, which has other halves. Immutable once
/// made; calls are thread-safe unless the model takes turns on its device with others (see ComponentOffloader).
class AutoencoderKL {
 public:
  /// Takes its tensors from scope; Weights::finish reports missing tensors.
  AutoencoderKL(const AutoencoderKLConfig& config, const ModuleScope& scope);

  const AutoencoderKLConfig& config() const { return config_; }

  /// @param x  [B, in_channels, H, W] within -1 to 1, of the weights' dtype and device
  /// @throws Error(kCancelled)
  DiagonalGaussianDistribution encode(const at::Tensor& x, const RunContext& ctx) const;

  /// The moments that encode makes its distribution of: [B, config().moments(), h, w].
  at::Tensor moments(const at::Tensor& x, const RunContext& ctx) const;
  DiagonalGaussianDistribution distribution_of(const at::Tensor& moments) const;

  /// @param z  [B, latent_channels, h, w], already divided by scaling_factor, of the weights' dtype and device
  /// @return   [B, out_channels, scale h, scale w], about -1 to 1, not clamped
  /// @throws Error(kCancelled)
  at::Tensor decode(const at::Tensor& z, const RunContext& ctx) const;

  // Of AutoencoderKLFlux2, whose denoising models work on patches of its latents: the cells of a patch become channels
  // (c, dy, dx), and each channel is normalised with the mean and variance that the checkpoint stores.

  /// @param z  [B, latent_channels, h, w], h and w multiples of patch_size
  /// @return   [B, patch_channels, h / patch_size, w / patch_size]
  at::Tensor to_patches(const at::Tensor& z) const;
  /// The inverse of to_patches.
  at::Tensor from_patches(const at::Tensor& patches) const;

 private:
  at::Tensor patch_mean(const at::Tensor& like) const;       // [1, patch_channels, 1, 1]
  at::Tensor patch_deviation(const at::Tensor& like) const;  // the same shape

  AutoencoderKLConfig config_;
  OffloadHandle offload_handle_;
  std::variant<Encoder, EncoderTiny> encoder_;
  std::variant<Decoder, DecoderTiny> decoder_;
  std::optional<Conv2d> quant_conv_, post_quant_conv_;
  at::Tensor running_mean_, running_var_;  // [patch_channels]; undefined for AutoencoderKL
};

}  // namespace easel
