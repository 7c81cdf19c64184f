// Families whose UNet sees an image at every step, instead of beginning from it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>

#include "easel/generation.h"
#include "models/autoencoder_kl.h"
#include "nn/run_context.h"
#include "pipelines/denoising/diffusion_generation.h"
#include "pipelines/images/canvas.h"
#include "pipelines/images/image_codec.h"
#include "tensor/placement.h"

namespace easel {

/// Draws a generation's first noise, in the reference's order, and sets its latents and all that depends on the
/// image. The generation's phases are set and started.
using PrepareLatents = std::function<void(DiffusionGeneration&)>;

/// What such a family makes of GenerationRequest::image. Immutable; thread-safe.
class StartStrategy {
 public:
  virtual ~StartStrategy() = default;

  /// How many channels the UNet is given beside the latents.
  virtual std::int64_t extra_channels(const AutoencoderKLConfig& vae) const = 0;

  /// Called first, with a request that has an image.
  /// @throws Error(kInvalidArgument)  a field that the family has no use for, or a value out of range; names it
  virtual void check(const GenerationRequest& request) const = 0;

  virtual Canvas canvas(const GenerationRequest& request, const ModelDescription& model) const = 0;

  /// Whether rows without the prompt run beside each image's own.
  virtual bool guided(const GenerationRequest& request, double guidance_scale) const = 0;

  /// Reads the image, once for all of a request's generations.
  /// @param placement  of the UNet
  /// @throws Error(kInvalidArgument)  it is no image; param image
  /// @throws Error(kCancelled)
  virtual PrepareLatents read(const GenerationRequest& request, const Canvas& canvas, bool guided,
                              const ImageCodec& codec, const Placement& placement, const RunContext& context) const = 0;
};

/// @throws Error(kInvalidArgument)  the request has fields that go with images to begin from, or a rescaled guidance:
///                                  mask, strength, guidance_rescale
void reject_image_to_image_fields(const GenerationRequest& request);

/// @throws Error(kInvalidArgument)  naming the field
[[noreturn]] void reject_field(const char* param, const std::string& why);

}  // namespace easel
