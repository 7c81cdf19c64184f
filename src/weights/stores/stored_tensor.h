// Conversion between stored bytes and tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "weights/format/mapped_file.h"
#include "weights/format/stored_dtype.h"

namespace easel {

/// torch's dtype; Undefined for a dtype that torch does not have.
c10::ScalarType scalar_type_of(const StoredDtype& dtype);

/// safetensors' dtype; null for a dtype that the format does not have.
const StoredDtype* stored_dtype_of(c10::ScalarType type);

/// A tensor that is a view of mapped bytes and keeps the file mapped; a copy if the bytes are not aligned for the type.
/// @param bytes    part of `file`, exactly as long as shape and strides reach
/// @param strides  in elements, one per dimension
at::Tensor tensor_on(std::shared_ptr<const MappedFile> file, std::span<const std::byte> bytes, c10::ScalarType type,
                     at::IntArrayRef shape, at::IntArrayRef strides);

/// In elements, of a contiguous tensor; a dimension of 0 counts as 1.
std::vector<std::int64_t> contiguous_strides(const std::vector<std::int64_t>& shape);

}  // namespace easel
