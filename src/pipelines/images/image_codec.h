// Between latents and pixels.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

#include "easel/image.h"
#include "models/autoencoder_kl.h"
#include "nn/run_context.h"
#include "pipelines/images/tiled_autoencoder.h"
#include "tensor/placement.h"

namespace easel {

/// Which fields of vae/config.json the reference's pipeline of a family reads.
enum class VaeFields {
  kScalingFactor,  ///< SD 1.x and 2.x
  kForceUpcast,    ///< the four times upscaler: also force_upcast
  kAll,            ///< SDXL: also latents_mean and latents_std, where both are there, and force_upcast
};

/// A checkpoint's autoencoder with the scale of its latents. Not thread-safe.
class ImageCodec {
 public:
  /// @param placement  of the autoencoder's weights; its dtype may be wider than the UNet's
  /// @param load_float32    loads the same autoencoder in float32, for images that overflow in float16
  ImageCodec(AutoencoderKL vae, VaeFields fields, const Placement& placement,
             std::function<AutoencoderKL()> load_float32);

  const AutoencoderKLConfig& config() const { return vae_.config(); }

  /// For what follows; kAuto until then.
  void set_tiling(VaeTiling tiling) { tiling_ = tiling; }

  /// @param latents  [1, C, h, w] as denoised, any float dtype
  /// @return         [1, 3, H, W], about -1 to 1, not clamped, of the autoencoder's dtype
  /// @throws Error(kCancelled)
  at::Tensor decode(const at::Tensor& latents, const RunContext& context) const;

  /// Whether decode can overflow, in which case its result holds infinities or NaN.
  bool may_overflow() const { return placement_.dtype == at::kHalf; }

  /// As decode, in float32. Reads the weights again, and keeps none of them.
  /// @throws Error  as loading does
  at::Tensor decode_in_float32(const at::Tensor& latents) const;

  /// @param pixels  float32 [1, 3, H, W] within -1 to 1, H and W multiples of config().scale()
  /// @return        of latents before scale, of the autoencoder's dtype
  /// @throws Error(kCancelled)
  DiagonalGaussianDistribution encode(const at::Tensor& pixels, const RunContext& context) const;

  /// Latents of encode at the scale that a UNet works on: the inverse of what decode begins with.
  at::Tensor scale(const at::Tensor& latents) const;
  /// The same without latents_mean and latents_std, which the reference leaves out where an image has a mask.
  at::Tensor scale_masked(const at::Tensor& latents) const;

  /// A guess at the image at latent resolution. The first call decodes a patch of noise to learn the colours.
  /// @param latents  as above
  Image preview(const at::Tensor& latents);

 private:
  using MemoryOf = std::int64_t (*)(const AutoencoderKLConfig&, const LatentSize&, std::int64_t tile, const Placement&);
  std::int64_t tile_for(std::int64_t height, std::int64_t width, MemoryOf memory_of, const Placement& where) const;
  at::Tensor decode_with(const AutoencoderKL& vae, const Placement& where, const at::Tensor& latents,
                         const RunContext& context) const;
  at::Tensor unscale(const at::Tensor& latents) const;
  at::Tensor fit_preview_map() const;

  AutoencoderKL vae_;
  VaeFields fields_;
  Placement placement_;
  std::function<AutoencoderKL()> load_float32_;
  VaeTiling tiling_ = VaeTiling::kAuto;
  at::Tensor preview_map_;  ///< float32 [C + 1, 3] on the CPU; made when a preview is first asked for
};

}  // namespace easel
