// Starting from noise, with the request's image as a reference that the model sees at every step; with a mask,
// redrawing part of that image.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "pipelines/denoising/from_noise_or_image.h"
#include "pipelines/denoising/start_strategy.h"

namespace easel {

/// The start of FLUX.1 Kontext, as FluxKontextPipeline and, with a mask, FluxKontextInpaintPipeline.
///
/// The image is stretched to the one of 17 sizes of about a megapixel whose proportions are nearest, whatever the size
/// of the request. Without a mask, the size of the request is that of the result. With a mask, the result has the size
/// to which the image was stretched, and a second image, in a size by the same rule, takes the place of the first as
/// the reference.
class FromKontextImage : public StartStrategy {
 public:
  FromKontextImage(ModelDescription model, std::int64_t latent_channels);

  void check(const GenerationRequest& request) const override;
  Canvas canvas(const GenerationRequest& request) const override;
  Guidance guidance(const GenerationRequest& request, double guidance_scale,
                    const DenoisingModel& model) const override;
  std::size_t first_step(const GenerationRequest& request, const Scheduler& scheduler) const override;
  std::unique_ptr<const RequestStart> read(const StartInput& input) const override;

 private:
  ModelDescription model_;
  std::int64_t latent_channels_;
};

/// Width and height at which the model sees an image: of the 17 sizes the one whose width / height differs least from
/// the image's, both edges of which are rounded down to whole cells before; the narrower of two. Cut down to whole
/// cells.
/// @param image  at least one cell along each edge
std::pair<int, int> kontext_size(const Image& image, int cell);

}  // namespace easel
