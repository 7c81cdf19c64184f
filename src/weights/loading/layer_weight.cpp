#include "weights/loading/layer_weight.h"

#include <ATen/ops/embedding.h>

namespace easel {
namespace {

/// libtorch has no embedding of 8-bit numbers, but one of bytes.
at::Tensor look_up(const at::Tensor& table, const at::Tensor& indices, c10::ScalarType dtype) {
  if (c10::elementSize(table.scalar_type()) > 1) return at::embedding(table, indices).to(dtype);
  auto shape = indices.sizes().vec();
  shape.push_back(table.size(1));
  return table.view(at::kByte).index_select(0, indices.flatten()).view(table.scalar_type()).to(dtype).view(shape);
}

}  // namespace

at::Tensor LayerWeight::whole(c10::ScalarType dtype) const {
  if (const auto* blocks = std::get_if<QuantizedWeight>(&weight_)) return blocks->decode(dtype);
  const auto& tensor = std::get<DeferredWeight>(weight_).get();
  if (tensor.scalar_type() == dtype) return tensor;
  return (tensor.is_mkldnn() ? tensor.to_dense() : tensor).to(dtype);  // it may have been packed for oneDNN
}

at::Tensor LayerWeight::rows(const at::Tensor& indices, c10::ScalarType dtype) const {
  const auto* blocks = std::get_if<QuantizedWeight>(&weight_);
  if (blocks == nullptr) return look_up(std::get<DeferredWeight>(weight_).get(), indices, dtype);
  auto shape = indices.sizes().vec();
  shape.push_back(blocks->shape.back());
  return blocks->select(indices.flatten()).decode(dtype).view(shape);
}

at::Tensor LayerWeight::first(std::int64_t n, c10::ScalarType dtype) const {
  if (const auto* blocks = std::get_if<QuantizedWeight>(&weight_)) return blocks->narrow(0, n).decode(dtype);
  return std::get<DeferredWeight>(weight_).get().narrow(0, 0, n).to(dtype);
}

}  // namespace easel
