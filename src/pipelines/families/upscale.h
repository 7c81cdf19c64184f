// Upscalers of Stable Diffusion 2: four times in pixels, twice in latents.
#pragma once

#include <vector>

#include "pipelines/families/family.h"

namespace easel {

/// diffusers' StableDiffusionUpscalePipeline: the UNet sees the small image, made noisy, and is told how noisy (Ho et
/// al. 2021, arXiv:2106.15282); and StableDiffusionLatentUpscalePipeline: it sees the small image's latents, and is
/// told noise levels.
const std::vector<Family>& upscale_families();

}  // namespace easel
