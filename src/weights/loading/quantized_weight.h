// A weight that is kept in the blocks in which it is stored.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "weights/format/block_format.h"

namespace easel {

/// A matrix of rows that are whole blocks of a BlockFormat, on any device. Cheap to copy: copies share the blocks.
/// Immutable; thread-safe.
struct QuantizedWeight {
  const BlockFormat* format = nullptr;
  at::Tensor blocks;                ///< uint8 [rows, bytes of a row]
  at::Tensor scale;                 ///< float32 [1] or [rows, 1], by which values are multiplied; undefined: none
  std::vector<std::int64_t> shape;  ///< of the weight; rows is the product of all dimensions but the last

  /// The values, computed in float32 and rounded to `dtype`: a new tensor of `shape` on the same device. Beyond the
  /// result, it takes at most as much memory as a quarter of it or kDecodedAtOnce values do.
  at::Tensor decode(c10::ScalarType dtype) const;
  static constexpr std::int64_t kDecodedAtOnce = std::int64_t{1} << 18;

  /// Rows `first` to `first + count - 1`, which share the blocks. Only of matrices.
  QuantizedWeight narrow(std::int64_t first, std::int64_t count) const;
  /// A copy of the rows at these indices, int64 [n]. Only of matrices.
  QuantizedWeight select(const at::Tensor& indices) const;
};

/// Values as Q8_0, equal to ggml's. @param weight  floating point [rows, columns] on the CPU; columns is a multiple of
/// 32
QuantizedWeight encode_q8_0(const at::Tensor& weight);

/// Values as float8_e4m3fn with one scale, so that the largest magnitude is the largest number of the type, 448.
/// @param weight  floating point [rows, columns] on the CPU, finite
QuantizedWeight encode_float8(const at::Tensor& weight);

/// What decode() computes for float32, by operators that every device has, in the same order of operations. The result
/// is equal to the last bit where the device rounds as IEEE 754 says.
/// @param blocks  uint8 [rows, bytes of a row]
/// @return        float32 [rows, values of a row]
at::Tensor decode_by_operators(const BlockFormat& format, const at::Tensor& blocks);

}  // namespace easel
