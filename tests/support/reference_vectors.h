// Reads the vectors that a reference script wrote, and compares tensors with them.
#pragma once

#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "weights/loading/weights.h"

namespace easel::testing {

/// NAME.json (configs, runs, tolerances), NAME.safetensors (the model's weights) and NAME.io.safetensors (inputs and
/// outputs), as tests/support/reference_vectors.py writes them.
class ReferenceVectors {
 public:
  ReferenceVectors(const std::string& folder, const std::string& name);

  const nlohmann::json& notes() const { return notes_; }
  std::shared_ptr<const TensorStore> weights() const { return weights_; }
  /// An input or output; undefined when there is none of that name.
  at::Tensor tensor(const std::string& name) const;

 private:
  nlohmann::json notes_;
  std::shared_ptr<const TensorStore> weights_, io_;
};

/// Element by element: same shape, finite, and nowhere further apart than tolerance.
::testing::AssertionResult all_near(const at::Tensor& actual, const at::Tensor& expected, double tolerance);

/// The largest difference of two tensors of one shape.
double largest_difference(const at::Tensor& a, const at::Tensor& b);

}  // namespace easel::testing
