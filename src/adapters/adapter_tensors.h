// The tensors that an adapter file has for one layer, each taken once and checked against that layer.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "easel/error.h"
#include "tensor/placement.h"
#include "weights/loading/layer_table.h"
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

  bool has(AdapterPart part) const { return module_.keys.contains(part); }
  bool has_only(AdapterPart part) const { return has(part) && module_.keys.size() == 1; }

  std::int64_t out() const { return slot_.shape[0]; }
  std::int64_t in() const { return slot_.shape[1]; }
  bool is_convolution() const { return slot_.shape.size() == 4; }
  std::int64_t window() const { return is_convolution() ? slot_.shape[2] * slot_.shape[3] : 1; }
  /// A shape with the layer's window, or with one of a single cell, where the layer has any.
  Shape windowed(std::int64_t rows, std::int64_t columns) const;
  Shape pointwise(std::int64_t rows, std::int64_t columns) const;

  const Shape& shape(AdapterPart part) const;
  /// An extent of a stored tensor, above 0.
  std::int64_t extent(AdapterPart part, std::size_t dimension) const;

  /// The tensor as the layer takes it. Ones at the end of a shape are free: to those who train, a linear layer and a
  /// 1 x 1 convolution are the same.
  at::Tensor take(AdapterPart part, const Shape& shape);
  /// The same, undefined where the file has none.
  at::Tensor take_if_there(AdapterPart part, const Shape& shape);
  /// The tensor with its last dimensions made one. @return [rows, columns]
  at::Tensor take_flat(AdapterPart part, std::int64_t rows, std::int64_t columns);
  /// As many numbers, in whatever shape they are stored.
  at::Tensor take_all(AdapterPart part, const Shape& shape);
  double take_number(AdapterPart part);

  /// To be called last: a tensor that was not taken is no part of the kind that the others make.
  void finish() const;

  std::size_t bytes() const { return bytes_; }  ///< of what was taken
  Error corrupt(AdapterPart part, const std::string& what) const;
  Error unsupported(AdapterPart part, const std::string& what) const;

 private:
  const std::string& key(AdapterPart part) const;
  Error misfit(AdapterPart part, const std::string& expected) const;
  at::Tensor read(AdapterPart part);

  const AdapterFile& file_;
  const AdapterModule& module_;
  const LayerSlot& slot_;
  Placement placement_;
  std::set<AdapterPart> taken_;
  std::size_t bytes_ = 0;
};

}  // namespace easel
