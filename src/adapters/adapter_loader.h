// From an adapter file to the layers of a model.
#pragma once

#include <memory>
#include <string>

#include "adapters/layer_names.h"
#include "nn/adapter_set.h"
#include "tensor/placement.h"

namespace easel {

/// Reads an adapter file, all of it: an adapter that is applied in part gives a wrong image without a word.
/// Scales are alpha / rank by the module's alpha tensor; else by diffusers' `lora_adapter_metadata`; else 1.
/// @param id         BoundAdapter::id
/// @param placement  of the models
/// @throws Error(kNotFound, kCorruptData)  the file, or a tensor in it; names both
/// @throws Error(kUnsupported)             a key or a combination that easel does not do; names it
/// @throws Error(kInvalidArgument)         a tensor for a layer that the models lack or that has another shape; names
///                                         it, and what the file was made for where that can be told. Param loras
std::shared_ptr<const BoundAdapter> load_adapter(const std::string& path, const std::string& id,
                                                 const LayerNames& names, const Placement& placement);

}  // namespace easel
