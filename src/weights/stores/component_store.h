// Opening a component folder.
#pragma once

#include <memory>
#include <string>

#include "weights/loading/tensor_store.h"
#include "weights/stores/component_files.h"

namespace easel {

/// The tensors of a component folder: of the preferred variant, else of the plain files, else of the variant fp16. Of
/// each variant, the file `stem`.safetensors is read with its scales or, without it, the shards that its index names,
/// or `stem`.gguf.
/// @param stem       "diffusion_pytorch_model" (diffusers) or "model" (transformers)
/// @param preferred  a variant; empty: the plain files
/// @throws Error(kNotFound)     none of these; if only a .bin file is there, the message names `easel convert`
/// @throws Error(kCorruptData)  names the file and the tensor
std::shared_ptr<const TensorStore> open_component(const std::string& folder, const std::string& stem,
                                                  const std::string& preferred = "");

}  // namespace easel
