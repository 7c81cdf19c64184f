// Starting from noise, with the request's images as references that the model sees along with the sample at every step;
// with a mask, redrawing part of the first image.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "pipelines/denoising/from_noise_or_image.h"
#include "pipelines/denoising/start_strategy.h"

namespace easel {

/// The start of FLUX.2 klein. Images are used at their own size: one of more than a megapixel is reduced to that, and
/// then cut down to whole cells.
///
/// Without a mask, all images are references, in the order of the request, and the result has the size of the first one
/// unless the request names a size. With a mask, as in diffusers' Flux2KleinInpaintPipeline, the first image is the one
/// to change: it is resampled to whole cells, which is the size of the result whatever the request says; it is also the
/// first reference, and the other images follow it, cut to the size of the first of them if there are several.
class FromReferences : public StartStrategy {
 public:
  struct Settings {
    double inpainting_strength = 1.0;  ///< default strength with a mask
    bool guides = true;                ///< false for distilled models, which never run an unconditional row
    std::int64_t latent_channels = 128;
  };
  FromReferences(ModelDescription model, const Settings& settings);

  void check(const GenerationRequest& request) const override;
  Canvas canvas(const GenerationRequest& request) const override;
  Guidance guidance(const GenerationRequest& request, double guidance_scale,
                    const DenoisingModel& model) const override;
  std::size_t first_step(const GenerationRequest& request, const Scheduler& scheduler) const override;
  std::unique_ptr<const RequestStart> read(const StartInput& input) const override;

 private:
  double strength(const GenerationRequest& request) const;

  ModelDescription model_;
  Settings settings_;
};

/// @throws Error(kInvalidArgument)  an image is malformed, too small or too narrow for this use; names `image`
void check_references(const GenerationRequest& request, int cell);

/// Width and height of what a request generates: whole cells.
std::pair<int, int> result_size(const GenerationRequest& request, const ModelDescription& model);

/// The references of a request in the sizes, in pixels, in which the model sees them, without the image that a mask is
/// for. Their edges are multiples of `cell`.
std::vector<std::pair<int, int>> reference_sizes(const GenerationRequest& request, int cell);

}  // namespace easel
