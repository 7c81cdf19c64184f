// StableDiffusionUpscalePipeline.
#pragma once

#include "pipelines/families/family.h"

namespace easel {

/// Family::load of the upscaler that works on pixels.
std::unique_ptr<Pipeline> load_image_upscale(const Family& family, const Checkpoint& folder,
                                             ModelDescription description, const PipelineOptions& options);

}  // namespace easel
