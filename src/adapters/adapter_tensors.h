// The tensors that an adapter file has for one layer, each taken once and checked against that layer.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "easel/error.h"
#include "nn/layer_table.h"
#include "tensor/placement.h"
#include "weights/stores/adapter_file.h"

namespace easel {

/// Every method throws Error(kInvalidArgument), param loras, where a tensor does not fit the layer, and
/// Error(kCorruptData) where one is missing or no number; both name file and tensor.
class AdapterTensors {
 public:
  using Shape = std::vector<std::int64_t>;

  /// All outlive this. @param placement  where the layer's weight is, and its dtype
  AdapterTensors(const AdapterFile& file, const AdapterModule& module, const LayerSlot& slot,
                 const Placement& placement)
      : file_(file), module_(module), slot_(slot), placement_(placement) {}

  bool has(AdapterTensorRole role) const { return module_.keys.contains(role); }
  bool has_only(AdapterTensorRole role) const { return has(role) && module_.keys.size() == 1; }

  std::int64_t out() const { return slot_.shape[0]; }
  std::int64_t in() const { return slot_.shape[1]; }
  bool is_convolution() const { return slot_.shape.size() == 4; }
  std::int64_t window() const { return is_convolution() ? slot_.shape[2] * slot_.shape[3] : 1; }
  /// A shape with the layer's window, or with one of a single cell, where the layer has any.
  Shape windowed(std::int64_t rows, std::int64_t columns) const;
  Shape pointwise(std::int64_t rows, std::int64_t columns) const;

  const Shape& shape(AdapterTensorRole role) const;
  /// An extent of a stored tensor, above 0.
  std::int64_t extent(AdapterTensorRole role, std::size_t dimension) const;

  /// The tensor as the layer takes it. Ones at the end of a shape are free: to those who train, a linear layer and a
  /// 1 x 1 convolution are the same.
  at::Tensor take(AdapterTensorRole role, const Shape& shape);
  /// The same, undefined where the file has none.
  at::Tensor take_optional(AdapterTensorRole role, const Shape& shape);
  /// The tensor with its last dimensions made one. @return [rows, columns]
  at::Tensor take_flat(AdapterTensorRole role, std::int64_t rows, std::int64_t columns);
  /// As many numbers, in whatever shape they are stored.
  at::Tensor take_reshaped(AdapterTensorRole role, const Shape& shape);
  double take_number(AdapterTensorRole role);

  /// To be called last: a tensor that was not taken is no part of the kind that the others make.
  void finish() const;

  std::size_t bytes() const { return bytes_; }  ///< of what was taken
  Error corrupt(AdapterTensorRole role, const std::string& what) const;
  Error unsupported(AdapterTensorRole role, const std::string& what) const;

 private:
  const std::string& key(AdapterTensorRole role) const;
  Error shape_mismatch(AdapterTensorRole role, const std::string& expected) const;
  at::Tensor read(AdapterTensorRole role);

  const AdapterFile& file_;
  const AdapterModule& module_;
  const LayerSlot& slot_;
  Placement placement_;
  std::set<AdapterTensorRole> taken_;
  std::size_t bytes_ = 0;
};

}  // namespace easel
