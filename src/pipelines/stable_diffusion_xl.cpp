#include "pipelines/stable_diffusion_xl.h"

#include <utility>

#include "pipelines/components.h"
#include "pipelines/sdxl_conditioner.h"

namespace easel {
namespace {

std::unique_ptr<Pipeline> load_stable_diffusion_xl(const Family& family, const CheckpointFolder& folder,
                                                   ModelDescription description, const PipelineOptions& options) {
  const auto& placement = options.placement;
  std::vector<std::shared_ptr<PromptEncoder>> encoders;
  for (const auto& text : family.text_encoders) {
    encoders.push_back(load_prompt_encoder(folder, text.suffix, text.state, placement));
  }
  std::vector<Denoiser> denoisers;
  denoisers.push_back(
      {.unet = load_unet(folder, placement),
       .conditioner = std::make_unique<SdxlConditioner>(encoders, read_sdxl_settings(folder), placement),
       .scheduler_config = SchedulerConfig(folder, family.scheduler_corrections)});
  return std::make_unique<DiffusionPipeline>(folder, std::move(description), options, std::move(denoisers),
                                             load_codec(folder, family.vae_fields, placement));
}

}  // namespace

const Family& stable_diffusion_xl_family() {
  static const Family family{.class_name = "StableDiffusionXLPipeline",
                             .name = "stable-diffusion-xl",
                             .text_encoders = {{"", "CLIPTextModel", PromptState::kPenultimate},
                                               {"_2", "CLIPTextModelWithProjection", PromptState::kPenultimate}},
                             .scheduler_corrections = SchedulerCorrections::kNone,
                             .vae_fields = VaeFields::kAll,
                             .default_guidance_scale = 5.0,
                             .load = &load_stable_diffusion_xl};
  return family;
}

}  // namespace easel
