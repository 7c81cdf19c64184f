// Writing GGUF files.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "weights/loading/tensor_store.h"

namespace easel {

/// Writes all tensors of a store to `path` as GGUF, version 3: blocks as blocks, other tensors in their dtype. Tensors
/// are read and released one at a time. The file appears complete or not at all.
/// @param metadata   strings by their keys
/// @param on_tensor  called with the count written so far, after each; may be empty
/// @return           bytes of the file
/// @throws Error(kUnsupported)                   a tensor whose dtype, or number of dimensions, GGUF does not have
/// @throws Error(kResourceExhausted, kInternal)  the disk is full, or the file cannot be written for another reason
std::uint64_t write_gguf(const std::string& path, const TensorStore& store,
                         const std::map<std::string, std::string>& metadata,
                         const std::function<void(std::size_t)>& on_tensor = {});

}  // namespace easel
