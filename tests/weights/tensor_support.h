// Comparing tensors and stores element by element.
#pragma once

#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>

#include "weights/loading/weights.h"
#include "weights/stores/safetensors.h"

namespace easel {

inline const std::string kReference = EASEL_REFERENCE_DIR;

inline std::string reference(const std::string& name) {
  return kReference + "/" + name;
}

/// Same dtype, shape and elements.
inline testing::AssertionResult same(const at::Tensor& actual, const at::Tensor& expected) {
  if (actual.scalar_type() != expected.scalar_type()) return testing::AssertionFailure() << "dtypes differ";
  if (!actual.sizes().equals(expected.sizes())) return testing::AssertionFailure() << "shapes differ";
  // Bytes, since not every dtype has an equality of its own.
  const auto a = actual.contiguous(), b = expected.contiguous();
  const auto* first = static_cast<const char*>(a.const_data_ptr());
  if (!std::equal(first, first + a.nbytes(), static_cast<const char*>(b.const_data_ptr()))) {
    return testing::AssertionFailure() << "elements differ";
  }
  return testing::AssertionSuccess();
}

/// Same names, and `same` for each tensor.
inline void expect_same_tensors(const TensorStore& actual, const TensorStore& expected) {
  auto names = actual.names(), expected_names = expected.names();
  std::sort(names.begin(), names.end());
  std::sort(expected_names.begin(), expected_names.end());
  ASSERT_EQ(names, expected_names);
  ASSERT_FALSE(names.empty());
  for (const auto& name : names) EXPECT_TRUE(same(actual.read(name), expected.read(name))) << name;
}

}  // namespace easel
