// Starting from noise, or from an image under noise (image to image, Meng et al. 2021, arXiv:2108.01073): all of the
// image, or the part that a mask selects.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "easel/generation.h"
#include "pipelines/denoising/start_strategy.h"

namespace easel {

/// How a denoising model redraws part of an image.
enum class InpaintingMode {
  kBlend,  ///< an ordinary model: after every step the rest of the image is put back
  kModel,  ///< an inpainting model, which sees the mask and the rest of the image as further channels
};

/// What is rounded down where a strength is not a whole number of steps.
enum class StrengthRounding {
  kStepsDone,     ///< the steps that are done
  kStepsSkipped,  ///< the steps that are skipped (the pipelines of flow matching)
};

/// How many inference steps a strength skips at the beginning.
/// @throws Error(kInvalidArgument)  strength is not within 0 to 1, or no step is left; param strength
std::int64_t skipped_steps(std::int64_t num_inference_steps, double strength,
                           StrengthRounding rounding = StrengthRounding::kStepsDone);

/// The start of all families whose images begin as noise and may begin as an image.
class FromNoiseOrImage : public StartStrategy {
 public:
  struct Settings {
    std::int64_t latent_channels = 4;
    InpaintingMode inpainting = InpaintingMode::kBlend;
    double inpainting_strength =
        1.0;  ///< default strength with a mask; without one, ModelDescription::default_strength
    /// The strength of image to image is not a share of the run's steps: LCM and TCD spread all steps over that share
    /// of their timesteps. With other schedulers, and with a mask, it is a share of the steps nevertheless.
    bool scheduler_takes_strength = false;
    GuidanceRule guidance_rule = GuidanceRule::kFromUnconditional;
    StrengthRounding strength_rounding = StrengthRounding::kStepsDone;
    int latent_cells = 1;  ///< along an edge of ModelDescription::cell
    /// Plans an image's size; see Family::plan_canvas.
    std::function<Canvas(const ModelDescription& model, int width, int height)> plan_canvas = &easel::plan_canvas;
  };
  FromNoiseOrImage(ModelDescription model, const Settings& settings);

  void check(const GenerationRequest& request) const override;
  Canvas canvas(const GenerationRequest& request) const override;
  Guidance guidance(const GenerationRequest& request, double guidance_scale,
                    const DenoisingModel& model) const override;
  bool starts_from_latents() const override { return settings_.inpainting == InpaintingMode::kBlend; }
  double scheduler_strength(const GenerationRequest& request) const override;
  std::size_t first_step(const GenerationRequest& request, const Scheduler& scheduler) const override;
  std::unique_ptr<const RequestStart> read(const StartInput& input) const override;

 private:
  double strength(const GenerationRequest& request) const;

  ModelDescription model_;
  Settings settings_;
};

}  // namespace easel
