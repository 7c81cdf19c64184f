// Stable Diffusion XL (Podell et al. 2023, arXiv:2307.01952): two text encoders, a pooled prompt, and what the model is
// told of sizes and crops.
#pragma once

#include <optional>
#include <vector>

#include "pipelines/families/family.h"

namespace easel {

/// diffusers' StableDiffusionXLPipeline (the base model, Turbo, Lightning), its kin for masks, and
/// StableDiffusionXLImg2ImgPipeline: the refiner, which draws from images alone.
const std::vector<Family>& stable_diffusion_xl_families();

/// The refiner that a base's manifest names; none when it names none.
/// @throws Error(kNotFound, kCorruptData, kUnsupported)  there is no such checkpoint, or it is no refiner
std::optional<Checkpoint> find_refiner(const Checkpoint& base);

}  // namespace easel
