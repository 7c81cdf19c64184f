#include "pipelines/families/stable_diffusion_xl.h"

#include <utility>

#include "core/text.h"
#include "easel/error.h"
#include "pipelines/families/components.h"
#include "pipelines/prompts/sdxl_conditioner.h"

namespace easel {
namespace {

constexpr const char* kRefinerClass = "StableDiffusionXLImg2ImgPipeline";

/// @param encoders  all of the checkpoint's; a refiner that shares a base's gets the last
Denoiser load_denoiser(const Family& family, const Checkpoint& folder,
                       std::vector<std::shared_ptr<PromptEncoder>> encoders, const Placement& placement) {
  return {.unet = load_unet(folder, placement, {.text_and_time = true}),
          .conditioner = std::make_unique<SdxlConditioner>(std::move(encoders), read_sdxl_settings(folder), placement),
          .scheduler_config = SchedulerConfig(folder, family.scheduler_corrections)};
}

std::unique_ptr<Pipeline> load_stable_diffusion_xl(const Family& family, const Checkpoint& folder,
                                                   ModelDescription description, const PipelineOptions& options) {
  const auto& placement = options.placement;
  std::vector<std::shared_ptr<PromptEncoder>> encoders;
  for (const auto& text : text_encoders_of(family, folder)) {
    encoders.push_back(load_prompt_encoder(folder, text.component, text.state, placement, options.embeddings));
  }
  std::vector<Denoiser> denoisers;
  denoisers.push_back(load_denoiser(family, folder, encoders, placement));
  for (const auto& encoder : encoders) denoisers[0].text_layers.push_back(encoder->layer_table());
  auto defaults = family.mode_defaults;
  if (const auto refiner = find_refiner(folder)) {
    // As diffusers' documentation has it, the refiner uses the base's second text encoder and autoencoder.
    denoisers.push_back(load_denoiser(family, *refiner, {encoders.back()}, placement));
    defaults.denoising_end = folder.manifest.denoising_end.value_or(defaults.denoising_end);
  }
  return std::make_unique<DiffusionPipeline>(folder, std::move(description), options, std::move(denoisers),
                                             load_codec(folder, family.vae_fields, placement), defaults);
}

}  // namespace

std::optional<Checkpoint> find_refiner(const Checkpoint& base) {
  if (base.manifest.refiner.empty()) return std::nullopt;
  auto refiner = Checkpoint::open(base.resolve(base.manifest.refiner));
  if (refiner.class_name != kRefinerClass) {
    throw Error(ErrorCode::kUnsupported,
                concat(refiner.index, ": `_class_name` is ", refiner.class_name, "; a refiner's is ", kRefinerClass));
  }
  refiner.require(Component::kUnet, "UNet2DConditionModel");
  return refiner;
}

const std::vector<Family>& stable_diffusion_xl_families() {
  static const std::vector<Family> families = [] {
    Family family{
        .class_name = "StableDiffusionXLPipeline",
        .name = "stable-diffusion-xl",
        .text_encoders = {{Component::kTextEncoder, "CLIPTextModel", PromptState::kPenultimate},
                          {Component::kTextEncoder2, "CLIPTextModelWithProjection", PromptState::kPenultimate}},
        .scheduler_corrections = SchedulerCorrections::kNone,
        .vae_fields = VaeFields::kAll,
        .default_guidance_scale = 5.0,
        .default_strength = 0.3,
        .mode_defaults = {.inpainting_strength = 0.9999},
        .default_sample_size = 128,
        .needs_image = false,
        .load = &load_stable_diffusion_xl};
    std::vector<Family> all{family};
    family.class_name = "StableDiffusionXLInpaintPipeline";
    family.default_guidance_scale = 7.5;
    all.push_back(family);
    family.class_name = kRefinerClass;
    family.default_guidance_scale = 5.0;
    family.text_encoders[0].may_be_absent = true;
    family.needs_image = true;
    all.push_back(family);
    return all;
  }();
  return families;
}

}  // namespace easel
