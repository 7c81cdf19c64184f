// The first work of a model on a device, done before a request waits for it.
#pragma once

#include "easel/pipeline.h"
#include "tensor/placement.h"

namespace easel {

/// Whether warm_up() disturbs nobody: its activations, where they were estimated, take at most half of the free memory,
/// and the components of the models on the device do not take turns, which only the thread that computes may change.
bool can_warm_up(const ModelDescription& model, const Placement& placement);

/// Runs two steps and a decode at the model's native size. The first calls of a GPU load kernels and choose algorithms,
/// which takes seconds. If memory runs out, the log says so, and the model can still be used for smaller images.
/// @throws Error  any other failure, with which the model could not be used
void warm_up(Pipeline& pipeline);

}  // namespace easel
