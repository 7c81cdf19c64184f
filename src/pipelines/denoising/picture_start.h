// How a picture's latents begin: as noise, or as a picture with noise over it (image to image, Meng et al. 2021,
// arXiv:2108.01073), all of it or where a mask says so.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "easel/generation.h"
#include "models/autoencoder_kl.h"
#include "pipelines/denoising/diffusion_generation.h"
#include "pipelines/images/canvas.h"
#include "pipelines/images/picture_codec.h"

namespace easel {

/// How a UNet redraws part of a picture.
enum class InpaintingKind {
  kPutBack,  ///< an ordinary UNet: after every step the rest of the picture is put back
  kModel,    ///< an inpainting UNet, which is given the mask and the rest of the picture as further channels
};

/// A request's picture and mask, read once for all pictures of the request.
struct SourcePicture {
  DiagonalGaussianDistribution image;                        ///< of the latents, not scaled
  std::optional<DiagonalGaussianDistribution> masked_image;  ///< likewise, without what is to be redrawn; of kModel
  at::Tensor mask;  ///< float32 [1, 1, h, w] of 0 and 1, 1 where to redraw; undefined without a mask
};

/// Resamples picture and mask to the size drawn, and encodes. None without a picture.
/// @throws Error(kInvalidArgument)  a mask without a picture, or one that is no picture; names the field
/// @throws Error(kCancelled)
std::optional<SourcePicture> read_source(const GenerationRequest& request, const Canvas& canvas,
                                         const PictureCodec& codec, InpaintingKind inpainting,
                                         const RunContext& context);

/// How many inference steps a strength leaves out at the beginning.
/// @throws Error(kInvalidArgument)  strength is not within 0 to 1, or leaves no step; param strength
std::int64_t skipped_steps(std::int64_t num_inference_steps, double strength);

struct LatentShape {
  std::int64_t channels, height, width;
};

/// Draws a started generation's first noise, in the reference's order, and sets its latents.
/// @param source     null: from noise alone
/// @param strength   with a source; a masked one at 1 begins from noise alone
/// @param placement  of the UNet
void begin_latents(DiffusionGeneration& generation, const LatentShape& shape, const SourcePicture* source,
                   double strength, InpaintingKind inpainting, const PictureCodec& codec, const Placement& placement);

}  // namespace easel
