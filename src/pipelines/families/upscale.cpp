#include "pipelines/families/upscale.h"

#include "pipelines/families/image_upscale.h"
#include "pipelines/families/latent_upscale.h"

namespace easel {

const std::vector<Family>& upscale_families() {
  static const std::vector<Family> families = {
      {.class_name = "StableDiffusionUpscalePipeline",
       .name = "stable-diffusion-upscale",
       .text_encoders = {{Component::kTextEncoder, "CLIPTextModel", PromptState::kLastNormed}},
       .scheduler_corrections = SchedulerCorrections::kNone,
       .vae_fields = VaeFields::kForceUpcast,
       .default_guidance_scale = 9.0,
       .default_strength = 1.0,
       .default_steps = 75,
       .needs_image = true,
       .image_conditioned = true,
       .upscale_factor = 4,
       .load = &load_image_upscale},
      {.class_name = "StableDiffusionLatentUpscalePipeline",
       .name = "stable-diffusion-latent-upscale",
       .text_encoders = {{Component::kTextEncoder, "CLIPTextModel", PromptState::kLastPooled}},
       .scheduler_corrections = SchedulerCorrections::kNone,
       .vae_fields = VaeFields::kScalingFactor,
       .default_guidance_scale = 9.0,
       .default_strength = 1.0,
       .default_steps = 75,
       .needs_image = true,
       .image_conditioned = true,
       .upscale_factor = 2,
       .noise_conditioning = NoiseConditioning::kLogSigma,
       .load = &load_latent_upscale}};
  return families;
}

}  // namespace easel
