// The matrix of a layer, in the form in which it is kept between calls.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>
#include <variant>

#include "weights/loading/deferred_weight.h"
#include "weights/loading/quantized_weight.h"

namespace easel {

/// A weight [rows, columns] that each call converts to the dtype of its arithmetic: a tensor, possibly of a smaller
/// dtype, or blocks of fewer bits. Copies share it. Thread-safe.
class LayerWeight {
 public:
  explicit LayerWeight(DeferredWeight tensor) : weight_(std::move(tensor)) {}
  explicit LayerWeight(QuantizedWeight blocks) : weight_(std::move(blocks)) {}

  // Results must not be written. @throws Error(kCorruptData)  as DeferredWeight::get

  /// The whole weight: the tensor itself where it has this dtype.
  at::Tensor whole(c10::ScalarType dtype) const;
  /// The rows at these indices, int64 of any shape: [..., columns].
  at::Tensor rows(const at::Tensor& indices, c10::ScalarType dtype) const;
  /// Rows 0 to n - 1: [n, columns].
  at::Tensor first(std::int64_t n, c10::ScalarType dtype) const;

 private:
  std::variant<DeferredWeight, QuantizedWeight> weight_;
};

}  // namespace easel
