#include "pipelines/families/stable_diffusion.h"

#include <utility>

#include "pipelines/families/components.h"
#include "pipelines/prompts/prompt_rows.h"

namespace easel {
namespace {

class StableDiffusionConditioner : public Conditioner {
 public:
  explicit StableDiffusionConditioner(std::shared_ptr<PromptEncoder> encoder) : encoder_(std::move(encoder)) {}

  UNetConditioning encode(const GenerationRequest& request, const Canvas&, Guidance guidance,
                          const RunContext& context) override {
    const auto rows = encode_prompts({&encoder_, 1}, request, guidance, EmptyNegative::kEncoded, context);
    return {.prompt_embeds = concat_rows(rows.negative.embeds, rows.text.embeds),
            .text_embeds = {},
            .time_ids = {},
            .prompt_cut = rows.cut()};
  }

 private:
  std::shared_ptr<PromptEncoder> encoder_;
};

std::unique_ptr<Pipeline> load_stable_diffusion(const Family& family, const Checkpoint& folder,
                                                ModelDescription description, const PipelineOptions& options) {
  const auto& placement = options.placement;
  const auto& text = family.text_encoders[0];
  const auto encoder = load_prompt_encoder(folder, text.component, text.state, placement, options.embeddings);
  std::vector<Denoiser> denoisers;
  denoisers.push_back({.unet = load_unet(folder, placement),
                       .conditioner = make_stable_diffusion_conditioner(encoder),
                       .scheduler_config = SchedulerConfig(folder, family.scheduler_corrections),
                       .text_layers = {encoder->layer_table()}});
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
                  .text_encoders = {{Component::kTextEncoder, "CLIPTextModel", PromptState::kLastNormed}},
                  .scheduler_corrections = SchedulerCorrections::kStableDiffusion,
                  .vae_fields = VaeFields::kScalingFactor,
                  .default_guidance_scale = 7.5,
                  .default_strength = 0.8,
                  .mode_defaults = {.inpainting_strength = 1.0},
                  .needs_image = false,
                  .load = &load_stable_diffusion};
    std::vector<Family> all{family};
    family.class_name = "StableDiffusionImg2ImgPipeline";
    all.push_back(family);
    family.class_name = "StableDiffusionInpaintPipeline";
    family.scheduler_corrections = SchedulerCorrections::kStableDiffusionInpainting;
    all.push_back(family);
    // Luo et al. 2023 (arXiv:2310.04378). The UNet takes the guidance scale as an input, and its
    // pipelines change nothing in the scheduler's config.
    family.name = "latent-consistency-model";
    family.scheduler_corrections = SchedulerCorrections::kNone;
    family.default_guidance_scale = 8.5;
    family.default_steps = 4;
    family.mode_defaults.scheduler_takes_strength = true;
    for (const char* class_name : {"LatentConsistencyModelPipeline", "LatentConsistencyModelImg2ImgPipeline"}) {
      family.class_name = class_name;
      all.push_back(family);
    }
    return all;
  }();
  return families;
}

}  // namespace easel
