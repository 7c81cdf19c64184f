// StableDiffusionLatentUpscalePipeline.
#pragma once

#include "pipelines/families/family.h"

namespace easel {

/// Family::load of the upscaler that works on latents.
std::unique_ptr<Pipeline> load_latent_upscale(const Family& family, const Checkpoint& folder,
                                              ModelDescription description, const PipelineOptions& options);

}  // namespace easel
