// Stable Diffusion XL (Podell et al. 2023, arXiv:2307.01952): two text encoders, a pooled prompt, and what the model is
// told of sizes and crops.
#pragma once

#include "pipelines/family.h"

namespace easel {

/// diffusers' StableDiffusionXLPipeline: the base model, Turbo and Lightning.
const Family& stable_diffusion_xl_family();

}  // namespace easel
