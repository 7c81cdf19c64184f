#include "weights/loading/tensor_store.h"

#include <c10/util/accumulate.h>

#include "tensor/placement.h"

namespace easel {

std::string TensorInfo::stored_name() const {
  return blocks != nullptr ? std::string(blocks->name) : dtype_name(dtype);
}

std::int64_t TensorInfo::elements() const {
  return c10::multiply_integers(shape);
}

std::int64_t TensorInfo::stored_bytes() const {
  if (blocks != nullptr) return static_cast<std::int64_t>(block_bytes(*blocks, static_cast<std::uint64_t>(elements())));
  return static_cast<std::int64_t>(c10::elementSize(dtype)) * elements();
}

bool is_float8(c10::ScalarType dtype) {
  return dtype == c10::ScalarType::Float8_e4m3fn || dtype == c10::ScalarType::Float8_e5m2;
}

}  // namespace easel
