#include "weights/stores/stored_tensor.h"

#include <ATen/ops/as_strided.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace easel {
namespace {

struct TypePair {
  std::string_view stored;
  c10::ScalarType type;
};
constexpr TypePair kTypes[] = {
    {"BOOL", c10::kBool},
    {"U8", c10::kByte},
    {"I8", c10::kChar},
    {"F8_E5M2", c10::ScalarType::Float8_e5m2},
    {"F8_E4M3", c10::ScalarType::Float8_e4m3fn},
    {"F8_E8M0", c10::ScalarType::Float8_e8m0fnu},
    {"F8_E4M3FNUZ", c10::ScalarType::Float8_e4m3fnuz},
    {"F8_E5M2FNUZ", c10::ScalarType::Float8_e5m2fnuz},
    {"I16", c10::kShort},
    {"U16", c10::kUInt16},
    {"F16", c10::kHalf},
    {"BF16", c10::kBFloat16},
    {"I32", c10::kInt},
    {"U32", c10::kUInt32},
    {"F32", c10::kFloat},
    {"C64", c10::kComplexFloat},
    {"F64", c10::kDouble},
    {"I64", c10::kLong},
    {"U64", c10::kUInt64},
};

}  // namespace

c10::ScalarType scalar_type_of(const StoredDtype& dtype) {
  for (const auto& pair : kTypes) {
    if (pair.stored == dtype.name) return pair.type;
  }
  return c10::ScalarType::Undefined;
}

const StoredDtype* stored_dtype_of(c10::ScalarType type) {
  for (const auto& pair : kTypes) {
    if (pair.type == type) return find_stored_dtype(pair.stored);
  }
  return nullptr;
}

at::Tensor tensor_on(std::shared_ptr<const MappedFile> file, std::span<const std::byte> bytes, c10::ScalarType type,
                     at::IntArrayRef shape, at::IntArrayRef strides) {
  const auto options = at::TensorOptions().dtype(type);
  if (bytes.empty()) return at::empty(shape, options);
  if (reinterpret_cast<std::uintptr_t>(bytes.data()) % c10::elementSize(type) == 0) {
    // The bytes are read-only: writing to the tensor, which TensorStore forbids, ends the process.
    return at::from_blob(
        const_cast<std::byte*>(bytes.data()), shape, strides, [file = std::move(file)](void*) {}, options);
  }
  const auto count = static_cast<std::int64_t>(bytes.size() / c10::elementSize(type));
  const at::Tensor copy = at::empty({count}, options);
  std::memcpy(copy.mutable_data_ptr(), bytes.data(), bytes.size());
  return at::as_strided(copy, shape, strides);
}

std::vector<std::int64_t> contiguous_strides(const std::vector<std::int64_t>& shape) {
  std::vector<std::int64_t> strides(shape.size());
  std::int64_t stride = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= std::max<std::int64_t>(shape[i], 1);
  }
  return strides;
}

}  // namespace easel
