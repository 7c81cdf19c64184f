// Stable Diffusion 1.x, 2.0 and 2.1: one text encoder whose last state conditions the UNet (Rombach et al. 2022,
// arXiv:2112.10752).
#pragma once

#include <memory>
#include <vector>

#include "pipelines/families/family.h"
#include "pipelines/prompts/conditioner.h"
#include "pipelines/prompts/prompt_encoder.h"

namespace easel {

/// diffusers' StableDiffusionPipeline and its kin for images and masks, which differ in what they are given alone:
/// any of these checkpoints draws from words, images and masks; one with an inpainting UNet from masks. Also latent
/// consistency models (Luo et al. 2023, arXiv:2310.04378), which take the guidance scale as an input.
const std::vector<Family>& stable_diffusion_families();

/// Conditions by one text encoder: prompt_embeds alone.
std::unique_ptr<Conditioner> make_stable_diffusion_conditioner(std::shared_ptr<PromptEncoder> encoder);

}  // namespace easel
