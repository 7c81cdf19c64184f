// AutoencoderTiny in files without a config.json, under diffusers' names or under those of its author.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "weights/loading/tensor_store.h"
#include "weights/stores/original_names.h"

namespace easel {

/// Whether a file holds an AutoencoderTiny under diffusers' names.
bool is_tiny_autoencoder(const NameSet& names);

/// Its author publishes it as two files, taesd_encoder.safetensors and taesd_decoder.safetensors, with names of their
/// own. Given one of them, both under diffusers' names; any other file unchanged.
/// @param path  of the file; the other one has the same path with "encoder" in place of "decoder", or the reverse
/// @throws Error(kNotFound, kCorruptData, kUnsupported)  the other file is missing or damaged; names it
std::shared_ptr<const TensorStore> with_both_tiny_halves(std::shared_ptr<const TensorStore> file,
                                                         const std::string& path);

/// config.json of an AutoencoderTiny, as it follows from the tensors; other fields are those of the published ones.
/// @throws Error(kCorruptData)  a tensor is missing; names the file and the tensor
nlohmann::json tiny_config_of(const TensorStore& file);

}  // namespace easel
