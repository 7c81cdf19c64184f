// Stable Diffusion 1.x, 2.0 and 2.1: one text encoder whose last state conditions the UNet (Rombach et al. 2022,
// arXiv:2112.10752).
#pragma once

#include "pipelines/family.h"

namespace easel {

/// diffusers' StableDiffusionPipeline.
const Family& stable_diffusion_family();

}  // namespace easel
