// Converts between latents and pixels.
#pragma once

#include <ATen/core/Tensor.h>

#include <compare>
#include <functional>
#include <map>
#include <optional>
#include <utility>

#include "easel/image.h"
#include "models/autoencoders/autoencoder_kl.h"
#include "nn/run_context.h"
#include "pipelines/images/tiled_autoencoder.h"
#include "tensor/placement.h"

namespace easel {

/// Which fields of vae/config.json the reference's pipeline of a family reads.
enum class VaeFields {
  kScalingFactor,      ///< SD 1.x and 2.x
  kForceUpcast,        ///< the upscaler on pixels: also force_upcast
  kShift,              ///< Z-Image: also shift_factor
  kShiftUnlessMasked,  ///< SD 3: also shift_factor, which the pipeline for masks leaves out when it decodes
  kPatches,            ///< FLUX.2: none of them; latents are patches with statistics of their own
  kAll,                ///< SDXL: also force_upcast, and latents_mean and latents_std if both are present
};

/// Whether the request of an image has a mask.
enum class Masking { kNone, kMasked };

/// A checkpoint's autoencoder together with the scale of its latents. Not thread-safe.
class ImageCodec {
 public:
  /// @param placement  of the autoencoder's weights; its dtype may be wider than the denoising model's
  /// @param load_float32    loads the same autoencoder in float32, for images that overflow in float16
  ImageCodec(AutoencoderKL vae, VaeFields fields, const Placement& placement,
             std::function<AutoencoderKL()> load_float32);

  const AutoencoderKLConfig& config() const { return vae_.config(); }

  /// Of the latents that denoising models work on: those of the autoencoder, or patches of them.
  std::int64_t latent_channels() const { return config().patch_channels(); }

  /// Applies to later calls. The default is kAuto.
  void set_tiling(VaeTiling tiling) { tiling_ = tiling; }

  /// Decodes previews by this autoencoder instead of fitting colours. Its latents are those of the codec's own.
  /// @param placement  of its weights
  void set_preview_decoder(AutoencoderKL tiny, const Placement& placement);

  /// @param latents  [1, latent_channels(), h, w], denoised, any float dtype
  /// @return         [1, 3, H, W], about -1 to 1, not clamped, in the autoencoder's dtype
  /// @throws Error(kCancelled)
  at::Tensor decode(const at::Tensor& latents, const RunContext& context, Masking masking = Masking::kNone) const;

  /// Whether decode can overflow. Its result then holds infinities or NaN.
  bool may_overflow() const { return placement_.dtype == at::kHalf; }

  /// Like decode, in float32. Loads the weights again; on a GPU that has room for all models at once they are kept,
  /// since where one image overflows, others do.
  /// @throws Error  as loading does
  at::Tensor decode_in_float32(const at::Tensor& latents, Masking masking) const;

  /// @param pixels  float32 [1, 3, H, W] within -1 to 1, H and W multiples of config().scale()
  /// @return        the distribution of unscaled latents, in the autoencoder's dtype
  /// @throws Error(kCancelled)
  DiagonalGaussianDistribution encode(const at::Tensor& pixels, const RunContext& context) const;

  /// Scales latents of encode to what a denoising model works on. decode begins with the inverse.
  at::Tensor scale(const at::Tensor& latents) const;
  /// The same without latents_mean and latents_std, which the reference ignores where an image has a mask.
  at::Tensor scale_masked(const at::Tensor& latents) const;

  /// An approximate image at latent resolution. The first call decodes a patch of noise to fit the colours. With a
  /// decoder of previews, or where the autoencoder itself is an AutoencoderTiny, what that decodes, in full size.
  /// @param latents  as for decode
  Image preview(const at::Tensor& latents);

 private:
  enum class Direction { kEncode, kDecode };
  /// What is done with an image: its size is in latent cells.
  struct Work {
    Direction direction;
    std::int64_t height, width;
    c10::ScalarType dtype;
    auto operator<=>(const Work&) const = default;
  };
  std::int64_t tile_for(const Work& work, const Placement& where) const;
  std::int64_t memory_of(const Work& work, std::int64_t tile, const Placement& where) const;
  ImageExtent extent_of(const Work& work) const;
  template <class Run>
  auto in_tiles_that_fit(const Work& work, const Placement& where, const Run& run) const;
  at::Tensor decode_with(const AutoencoderKL& vae, const Placement& where, const at::Tensor& latents, Masking masking,
                         const RunContext& context) const;
  at::Tensor unscale(const AutoencoderKL& vae, const at::Tensor& latents, Masking masking) const;
  bool reads_shift() const { return fields_ == VaeFields::kShift || fields_ == VaeFields::kShiftUnlessMasked; }
  at::Tensor fit_preview_map() const;

  AutoencoderKL vae_;
  VaeFields fields_;
  Placement placement_;
  std::function<AutoencoderKL()> load_float32_;
  VaeTiling tiling_ = VaeTiling::kAuto;
  /// What memory_of has found, since it takes up to 30 ms for each tile.
  mutable std::map<std::pair<Work, std::int64_t>, std::int64_t> estimates_;
  mutable std::map<Work, std::int64_t> learned_tiles_;  ///< smaller ones than estimated, since memory ran out
  mutable std::optional<AutoencoderKL> float32_vae_;    ///< once an image has overflowed
  std::optional<AutoencoderKL> preview_decoder_;
  Placement preview_placement_;
  at::Tensor preview_map_;  ///< float32 [C + 1, 3] on the CPU; made by the first preview
};

}  // namespace easel
