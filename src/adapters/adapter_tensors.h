// The tensors that an adapter file has for one layer. Each is taken once and checked against the layer.
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

/// Every method throws Error(kInvalidArgument), param loras, if a tensor does not fit the layer, and
/// Error(kCorruptData) if one is missing or not finite. Both name the file and the tensor.
class AdapterTensors {
 public:
  using Shape = std::vector<std::int64_t>;

  /// References must outlive this. @param placement  device and dtype of the layer's weight
  AdapterTensors(const AdapterFile& file, const AdapterModule& module, const LayerSlot& slot,
                 const Placement& placement)
      : file_(file), module_(module), slot_(slot), placement_(placement) {}

  bool has(AdapterTensorRole role) const { return module_.keys.contains(role); }
  bool has_only(AdapterTensorRole role) const { return has(role) && module_.keys.size() == 1; }

  std::int64_t out() const { return slot_.shape[0]; }
  std::int64_t in() const { return slot_.shape[1]; }
  bool is_convolution() const { return slot_.shape.size() == 4; }
  std::int64_t window() const { return is_convolution() ? slot_.shape[2] * slot_.shape[3] : 1; }
  /// [rows, columns], extended by the layer's kernel size or by 1 x 1 if the layer is a convolution.
  Shape windowed(std::int64_t rows, std::int64_t columns) const;
  Shape pointwise(std::int64_t rows, std::int64_t columns) const;

  const Shape& shape(AdapterTensorRole role) const;
  /// One extent of a stored tensor; at least 1.
  std::int64_t extent(AdapterTensorRole role, std::size_t dimension) const;

  /// The tensor in the shape that the layer needs. Trailing ones in a shape may differ, because trainers do not
  /// distinguish linear layers from 1 x 1 convolutions.
  at::Tensor take(AdapterTensorRole role, const Shape& shape);
  /// Like take; undefined if the file does not have the tensor.
  at::Tensor take_optional(AdapterTensorRole role, const Shape& shape);
  /// The tensor with its last dimensions flattened. @return [rows, columns]
  at::Tensor take_flat(AdapterTensorRole role, std::int64_t rows, std::int64_t columns);
  /// The tensor reshaped; only the number of elements must match.
  at::Tensor take_reshaped(AdapterTensorRole role, const Shape& shape);
  double take_number(AdapterTensorRole role);

  /// To be called last. Throws if a tensor was not taken, because it does not belong to the kind of change that the
  /// others make.
  void finish() const;

  std::size_t bytes() const { return bytes_; }  ///< of the tensors that were taken
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
