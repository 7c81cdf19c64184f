// Families whose UNet sees a picture at every step, instead of beginning from it.
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
#include "pipelines/images/picture_codec.h"
#include "tensor/placement.h"

namespace easel {

/// Draws a generation's first noise, in the reference's order, and sets its latents and all that depends on the
/// picture. The generation's phases are set and started.
using BeginLatents = std::function<void(DiffusionGeneration&)>;

/// What such a family makes of GenerationRequest::image. Immutable; thread-safe.
class PictureUse {
 public:
  virtual ~PictureUse() = default;

  /// How many channels the UNet is given beside the latents.
  virtual std::int64_t extra_channels(const AutoencoderKLConfig& vae) const = 0;

  /// Called first, with a request that has an image.
  /// @throws Error(kInvalidArgument)  a field that the family has no use for, or a value out of range; names it
  virtual void check(const GenerationRequest& request) const = 0;

  virtual Canvas canvas(const GenerationRequest& request, const ModelDescription& model) const = 0;

  /// Whether rows without the prompt run beside each picture's own.
  virtual bool guided(const GenerationRequest& request, double guidance_scale) const = 0;

  /// Reads the picture, once for all of a request's generations.
  /// @param placement  of the UNet
  /// @throws Error(kInvalidArgument)  it is no picture; param image
  /// @throws Error(kCancelled)
  virtual BeginLatents read(const GenerationRequest& request, const Canvas& canvas, bool guided,
                            const PictureCodec& codec, const Placement& placement, const RunContext& context) const = 0;
};

/// @throws Error(kInvalidArgument)  the request has fields that go with pictures to begin from, or a rescaled guidance:
///                                  mask, strength, guidance_rescale
void refuse_fields_of_starting_pictures(const GenerationRequest& request);

/// @throws Error(kInvalidArgument)  naming the field
[[noreturn]] void refuse_field(const char* param, const std::string& why);

}  // namespace easel
