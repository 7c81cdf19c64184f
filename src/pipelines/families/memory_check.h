// Requests that need more memory than a host has.
#pragma once

#include <cstdint>

#include "easel/generation.h"

namespace easel {

/// Refuses an image whose steps could never fit into memory, however little else is there. The memory of a step grows
/// with the area of what is generated; the model's description has it for the native size.
/// @param capacity  bytes of the host: see total_memory()
/// @throws Error(kInvalidArgument)  param size; says which size fits
void check_memory(const GenerationRequest& request, const ModelDescription& model, std::int64_t capacity);

}  // namespace easel
