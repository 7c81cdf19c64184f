// Estimates the device memory that a checkpoint needs.
#pragma once

#include "pipelines/denoising/diffusion_pipeline.h"
#include "pipelines/families/families.h"

namespace easel {

/// Sets ModelDescription's weight_bytes, memory_bytes, parameters, components and activations: weights from the headers
/// of their files, activations from the configs (models/memory/activation_memory.h).
/// @param d  with sizes and cell already set
/// @throws Error(kNotFound, kCorruptData, kUnsupported)  names the file and what is wrong with it
void describe_memory(const Checkpoint& folder, const Family& family, const PipelineOptions& options,
                     ModelDescription& d);

}  // namespace easel
