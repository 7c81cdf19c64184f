// How an image's latents begin: as noise, or as an image with noise over it (image to image, Meng et al. 2021,
// arXiv:2108.01073), all of it or where a mask says so.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "easel/generation.h"
#include "models/autoencoder_kl.h"
#include "pipelines/denoising/diffusion_generation.h"
#include "pipelines/images/canvas.h"
#include "pipelines/images/image_codec.h"

namespace easel {

/// How a UNet redraws part of an image.
enum class InpaintingMode {
  kBlend,  ///< an ordinary UNet: after every step the rest of the image is put back
  kModel,  ///< an inpainting UNet, which is given the mask and the rest of the image as further channels
};

/// A request's image and mask, read once for all images of the request.
struct SourceImage {
  DiagonalGaussianDistribution image;                        ///< of the latents, not scaled
  std::optional<DiagonalGaussianDistribution> masked_image;  ///< likewise, without what is to be redrawn; of kModel
  at::Tensor mask;  ///< float32 [1, 1, h, w] of 0 and 1, 1 where to redraw; undefined without a mask
};

/// Resamples image and mask to the size drawn, and encodes. None without an image.
/// @throws Error(kInvalidArgument)  a mask without an image, or one that is no image; names the field
/// @throws Error(kCancelled)
std::optional<SourceImage> encode_source(const GenerationRequest& request, const Canvas& canvas,
                                         const ImageCodec& codec, InpaintingMode inpainting, const RunContext& context);

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
void prepare_latents(DiffusionGeneration& generation, const LatentShape& shape, const SourceImage* source,
                     double strength, InpaintingMode inpainting, const ImageCodec& codec, const Placement& placement);

}  // namespace easel
