// Stable Diffusion 1.x, 2.0 and 2.1: one text encoder whose last state conditions the UNet (Rombach et al. 2022,
// arXiv:2112.10752).
#pragma once

#include <vector>

#include "pipelines/family.h"

namespace easel {

/// diffusers' StableDiffusionPipeline and its kin for pictures and masks, which differ in what they are given alone:
/// any of these checkpoints draws from words, pictures and masks; one with an inpainting UNet from masks.
const std::vector<Family>& stable_diffusion_families();

}  // namespace easel
