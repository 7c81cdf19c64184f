// Between stored bytes and tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <memory>
#include <span>

#include "weights/format/mapped_file.h"
#include "weights/format/stored_dtype.h"

namespace easel {

/// Undefined for the types that torch does not have.
c10::ScalarType scalar_type_of(const StoredDtype& dtype);

/// Null for the types that safetensors does not have.
const StoredDtype* stored_dtype_of(c10::ScalarType type);

/// A tensor on mapped bytes, which it keeps in memory; on a copy of them where they are not aligned for their type.
/// @param bytes    a part of `file`, exactly as long as shape and strides reach
/// @param strides  elements, one a dimension
at::Tensor tensor_on(std::shared_ptr<const MappedFile> file, std::span<const std::byte> bytes, c10::ScalarType type,
                     at::IntArrayRef shape, at::IntArrayRef strides);

}  // namespace easel
