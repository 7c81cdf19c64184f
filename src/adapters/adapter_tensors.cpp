#include "adapters/adapter_tensors.h"

#include <ATen/ops/isfinite.h>

#include <cmath>

#include "core/text.h"
#include "tensor/upload.h"
#include "weights/format/message_format.h"

namespace easel {
namespace {

using Shape = AdapterTensors::Shape;

std::int64_t count(const Shape& shape) {
  std::int64_t product = 1;
  for (const auto extent : shape) product *= extent;
  return product;
}

Shape without_trailing_ones(Shape shape) {
  while (!shape.empty() && shape.back() == 1) shape.pop_back();
  return shape;
}

}  // namespace

Shape AdapterTensors::windowed(std::int64_t rows, std::int64_t columns) const {
  return is_convolution() ? Shape{rows, columns, slot_.shape[2], slot_.shape[3]} : Shape{rows, columns};
}

Shape AdapterTensors::pointwise(std::int64_t rows, std::int64_t columns) const {
  return is_convolution() ? Shape{rows, columns, 1, 1} : Shape{rows, columns};
}

const std::string& AdapterTensors::key(AdapterTensorRole role) const {
  const auto found = module_.keys.find(role);
  if (found != module_.keys.end()) return found->second;
  throw Error(ErrorCode::kCorruptData,
              concat(file_.name(), ": ", quote_name(module_.keys.begin()->second), " has no counterpart"));
}

const Shape& AdapterTensors::shape(AdapterTensorRole role) const {
  return file_.info(key(role)).shape;
}

std::int64_t AdapterTensors::extent(AdapterTensorRole role, std::size_t dimension) const {
  const auto& stored = shape(role);
  if (stored.size() <= dimension || count(stored) < 1) throw shape_mismatch(role, "a matrix");
  return stored[dimension];
}

at::Tensor AdapterTensors::take(AdapterTensorRole role, const Shape& expected) {
  if (without_trailing_ones(shape(role)) != without_trailing_ones(expected))
    throw shape_mismatch(role, format_shape(expected));
  return read(role).reshape(expected);
}

at::Tensor AdapterTensors::take_optional(AdapterTensorRole role, const Shape& expected) {
  return has(role) ? take(role, expected) : at::Tensor();
}

at::Tensor AdapterTensors::take_flat(AdapterTensorRole role, std::int64_t rows, std::int64_t columns) {
  if (extent(role, 0) != rows) throw shape_mismatch(role, format_shape(Shape{rows, columns}));
  return take_reshaped(role, {rows, columns});
}

at::Tensor AdapterTensors::take_reshaped(AdapterTensorRole role, const Shape& expected) {
  if (count(shape(role)) != count(expected)) throw shape_mismatch(role, format_shape(expected));
  return read(role).reshape(expected);
}

double AdapterTensors::take_number(AdapterTensorRole role) {
  if (count(shape(role)) != 1) throw shape_mismatch(role, "one number");
  taken_.insert(role);
  const auto value = file_.read(key(role)).to(at::kDouble).item<double>();
  if (!std::isfinite(value)) throw corrupt(role, "is not finite");
  return value;
}

void AdapterTensors::finish() const {
  for (const auto& [role, name] : module_.keys) {
    if (!taken_.contains(role)) throw corrupt(role, "does not fit the layer's other tensors");
  }
}

Error AdapterTensors::corrupt(AdapterTensorRole role, const std::string& what) const {
  return {ErrorCode::kCorruptData, concat(file_.name(), ": ", quote_name(key(role)), ' ', what)};
}

Error AdapterTensors::unsupported(AdapterTensorRole role, const std::string& what) const {
  return {ErrorCode::kUnsupported, concat(file_.name(), ": ", quote_name(key(role)), ' ', what)};
}

Error AdapterTensors::shape_mismatch(AdapterTensorRole role, const std::string& expected) const {
  return {ErrorCode::kInvalidArgument,
          concat(file_.name(), ": ", quote_name(key(role)), " is ", format_shape(shape(role)), ", expected ", expected,
                 " for ", slot_.name, ", ", format_shape(slot_.shape)),
          "loras"};
}

at::Tensor AdapterTensors::read(AdapterTensorRole role) {
  if (!c10::isFloatingType(file_.info(key(role)).dtype)) throw corrupt(role, "does not have a floating-point dtype");
  taken_.insert(role);
  auto stored = file_.read(key(role));
  if (c10::isFloat8Type(stored.scalar_type())) stored = stored.to(at::kFloat);  // torch has no arithmetic for 8 bits
  if (!at::isfinite(stored).all().item<bool>()) throw corrupt(role, "holds numbers that are not finite");
  // A copy, because the file may change while the adapter is in use. A GPU's is not waited for.
  auto tensor = placement_.device.is_cpu() ? stored.to(placement_.dtype, /*non_blocking=*/false, /*copy=*/true)
                                           : upload(stored, placement_.device, placement_.dtype);
  bytes_ += tensor.nbytes();
  return tensor;
}

}  // namespace easel
