#include "pipelines/stable_diffusion.h"

#include <ATen/ops/cat.h>

#include <utility>

#include "pipelines/components.h"

namespace easel {
namespace {

class StableDiffusionConditioner : public Conditioner {
 public:
  explicit StableDiffusionConditioner(std::shared_ptr<PromptEncoder> encoder) : encoder_(std::move(encoder)) {}

  Conditions encode(const GenerationRequest& request, const Canvas&, Guidance guidance,
                    const RunContext& context) override {
    Conditions conditions;
    conditions.prompt_embeds = encoder_->encode(request.prompt, request.clip_skip.value_or(0), context).embeds;
    if (guidance == Guidance::kOn) {
      // The reference skips no layers for the negative prompt.
      const auto negative = encoder_->encode(request.negative_prompt, /*clip_skip=*/0, context).embeds;
      conditions.prompt_embeds = at::cat(at::TensorList({negative, conditions.prompt_embeds}));
    }
    return conditions;
  }

 private:
  std::shared_ptr<PromptEncoder> encoder_;
};

std::unique_ptr<Pipeline> load_stable_diffusion(const Family& family, const CheckpointFolder& folder,
                                                ModelDescription description, const PipelineOptions& options) {
  const auto& placement = options.placement;
  const auto& text = family.text_encoders[0];
  std::vector<Denoiser> denoisers;
  denoisers.push_back({.unet = load_unet(folder, placement),
                       .conditioner = make_stable_diffusion_conditioner(
                           load_prompt_encoder(folder, text.suffix, text.state, placement)),
                       .scheduler_config = SchedulerConfig(folder, family.scheduler_corrections)});
  return std::make_unique<DiffusionPipeline>(folder, std::move(description), options, std::move(denoisers),
                                             load_codec(folder, family.vae_fields, placement), family.mode_defaults);
}

}  // namespace

std::unique_ptr<Conditioner> make_stable_diffusion_conditioner(std::shared_ptr<PromptEncoder> encoder) {
  return std::make_unique<StableDiffusionConditioner>(std::move(encoder));
}

const std::vector<Family>& stable_diffusion_families() {
  static const std::vector<Family> families = [] {
    Family family{.class_name = "StableDiffusionPipeline",
                  .name = "stable-diffusion",
                  .text_encoders = {{"", "CLIPTextModel", PromptState::kLastNormed}},
                  .scheduler_corrections = SchedulerCorrections::kStableDiffusion,
                  .vae_fields = VaeFields::kScalingFactor,
                  .default_guidance_scale = 7.5,
                  .default_strength = 0.8,
                  .mode_defaults = {.inpainting_strength = 1.0},
                  .needs_image = false,
                  .load = &load_stable_diffusion};
    std::vector<Family> all{family};
    for (const char* class_name : {"StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline"}) {
      family.class_name = class_name;
      all.push_back(family);
    }
    // Their pipelines change nothing in the scheduler's config.
    family.scheduler_corrections = SchedulerCorrections::kNone;
    family.default_guidance_scale = 8.5;
    family.default_steps = 4;
    for (const char* class_name : {"LatentConsistencyModelPipeline", "LatentConsistencyModelImg2ImgPipeline"}) {
      family.class_name = class_name;
      all.push_back(family);
    }
    return all;
  }();
  return families;
}

}  // namespace easel
