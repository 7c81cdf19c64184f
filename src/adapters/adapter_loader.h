// Loads adapter files for the layers of a model.
#pragma once

#include <memory>
#include <string>

#include "adapters/layer_names.h"
#include "nn/adapter_set.h"
#include "tensor/placement.h"

namespace easel {

/// Reads an adapter file. Every tensor must be used, because an adapter that is applied only in part would silently
/// give wrong images. The scale is alpha / rank, with alpha from the layer's alpha tensor or diffusers'
/// `lora_adapter_metadata`, or 1.
/// @param id         BoundAdapter::id
/// @param placement  of the models
/// @throws Error(kNotFound, kCorruptData)  names the file and the tensor
/// @throws Error(kUnsupported)             a key or a combination that easel does not support; names it
/// @throws Error(kInvalidArgument)         a tensor for a layer that the models lack or that has another shape; names
///                                         it, and what the file was made for if that is known. Param loras
std::shared_ptr<const BoundAdapter> load_adapter(const std::string& path, const std::string& id,
                                                 const LayerNames& names, const Placement& placement);

}  // namespace easel
