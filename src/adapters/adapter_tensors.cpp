#include "adapters/adapter_tensors.h"

#include <ATen/ops/isfinite.h>

#include <cmath>

#include "core/text.h"
#include "weights/format/message.h"

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

const std::string& AdapterTensors::key(AdapterPart part) const {
  const auto found = module_.keys.find(part);
  if (found != module_.keys.end()) return found->second;
  throw Error(ErrorCode::kCorruptData,
              concat(file_.name(), ": ", name_text(module_.keys.begin()->second), " lacks its counterpart"));
}

const Shape& AdapterTensors::shape(AdapterPart part) const {
  return file_.info(key(part)).shape;
}

std::int64_t AdapterTensors::extent(AdapterPart part, std::size_t dimension) const {
  const auto& stored = shape(part);
  if (stored.size() <= dimension || count(stored) < 1) throw misfit(part, "a matrix");
  return stored[dimension];
}

at::Tensor AdapterTensors::take(AdapterPart part, const Shape& expected) {
  if (without_trailing_ones(shape(part)) != without_trailing_ones(expected)) throw misfit(part, shape_text(expected));
  return read(part).reshape(expected);
}

at::Tensor AdapterTensors::take_if_there(AdapterPart part, const Shape& expected) {
  return has(part) ? take(part, expected) : at::Tensor();
}

at::Tensor AdapterTensors::take_flat(AdapterPart part, std::int64_t rows, std::int64_t columns) {
  if (extent(part, 0) != rows) throw misfit(part, shape_text(Shape{rows, columns}));
  return take_all(part, {rows, columns});
}

at::Tensor AdapterTensors::take_all(AdapterPart part, const Shape& expected) {
  if (count(shape(part)) != count(expected)) throw misfit(part, shape_text(expected));
  return read(part).reshape(expected);
}

double AdapterTensors::take_number(AdapterPart part) {
  if (count(shape(part)) != 1) throw misfit(part, "one number");
  taken_.insert(part);
  const auto value = file_.read(key(part)).item<double>();
  if (!std::isfinite(value)) throw corrupt(part, "is not finite");
  return value;
}

void AdapterTensors::finish() const {
  for (const auto& [part, name] : module_.keys) {
    if (!taken_.contains(part)) throw corrupt(part, "does not go with the layer's other tensors");
  }
}

Error AdapterTensors::corrupt(AdapterPart part, const std::string& what) const {
  return {ErrorCode::kCorruptData, concat(file_.name(), ": ", name_text(key(part)), ' ', what)};
}

Error AdapterTensors::unsupported(AdapterPart part, const std::string& what) const {
  return {ErrorCode::kUnsupported, concat(file_.name(), ": ", name_text(key(part)), ' ', what)};
}

Error AdapterTensors::misfit(AdapterPart part, const std::string& expected) const {
  return {ErrorCode::kInvalidArgument,
          concat(file_.name(), ": ", name_text(key(part)), " is ", shape_text(shape(part)), ", expected ", expected,
                 " for ", slot_.name, ", ", shape_text(slot_.shape)),
          "loras"};
}

at::Tensor AdapterTensors::read(AdapterPart part) {
  if (!c10::isFloatingType(file_.info(key(part)).dtype)) throw corrupt(part, "is not of floating point");
  taken_.insert(part);
  const auto stored = file_.read(key(part));
  if (!at::isfinite(stored).all().item<bool>()) throw corrupt(part, "holds numbers that are not finite");
  // A copy: the file may change while the adapter is in use.
  auto tensor = stored.to(placement_.device, placement_.dtype, /*non_blocking=*/false, /*copy=*/true);
  bytes_ += tensor.nbytes();
  return tensor;
}

}  // namespace easel
