// What a checkpoint needs of a device's memory.
#pragma once

#include "pipelines/families/family.h"

namespace easel {

/// Sets ModelDescription's weight_bytes, memory_bytes, parameters, components and activations: weights from the headers
/// of their files, activations from the configs (models/activation_memory.h).
/// @param d  its sizes and its cell are set already
/// @throws Error(kNotFound, kCorruptData, kUnsupported)  names the file and what is wrong with it
void describe_memory(const Checkpoint& folder, const Family& family, const PipelineOptions& options,
                     ModelDescription& d);

}  // namespace easel
