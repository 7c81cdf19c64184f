// Writing safetensors files.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "weights/loading/tensor_store.h"

namespace easel {

using SafetensorsMetadata = std::map<std::string, std::string>;

/// Writes tensors to `path`, byte for byte what the reference library writes for the same tensors and metadata (with
/// one metadata key; it orders several at random): sorted by falling alignment, then name; the header padded to eight
/// bytes. The file appears complete or not at all: it is written under another name and then renamed. Tensors may have
/// any device and strides; each is made contiguous on the CPU separately, so that little memory is needed.
///
/// @throws Error(kUnsupported)        a tensor of a dtype that the format does not have, or called
///                                    `__metadata__`; names it
/// @throws Error(kResourceExhausted)  the disk is full
/// @throws Error(kInternal)           the file cannot be written for another reason; says which
void write_safetensors(const std::string& path, const std::map<std::string, at::Tensor>& tensors,
                       const SafetensorsMetadata& metadata = {{"format", "pt"}});

/// The same for all tensors of a store, read and released one at a time.
/// @param on_tensor  called with the count written so far, after each; may be empty
/// @return           bytes of the file
std::uint64_t write_safetensors(const std::string& path, const TensorStore& store,
                                const SafetensorsMetadata& metadata = {{"format", "pt"}},
                                const std::function<void(std::size_t)>& on_tensor = {});

}  // namespace easel
