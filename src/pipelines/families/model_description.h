// Describes a checkpoint before its weights are read.
#pragma once

#include <string>

#include "pipelines/denoising/diffusion_pipeline.h"
#include "pipelines/families/families.h"

namespace easel {

/// Reads JSON files and tensor headers.
/// @throws Error(kNotFound, kCorruptData, kUnsupported)  names the file and what is wrong with it
ModelDescription describe_model(const std::string& id, const Checkpoint& folder, const Family& family,
                                const PipelineOptions& options);

}  // namespace easel
