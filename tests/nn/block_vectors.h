// One block of diffusers: its weights, inputs and output, written by make_nn.py.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "nn/run_context.h"
#include "support/reference_vectors.h"
#include "weights/loading/weights.h"

namespace easel::testing {

class BlockVectors {
 public:
  explicit BlockVectors(const std::string& name)
      : vectors_(EASEL_REFERENCE_DIR, name), weights_(vectors_.weights(), {.device = at::kCPU, .dtype = at::kFloat}) {}

  WeightScope scope() { return weights_.root(); }
  at::Tensor input(int i) const { return vectors_.tensor(std::to_string(i)); }

  /// The output is the reference's, and the block took every weight.
  void expect(const at::Tensor& output) {
    EXPECT_TRUE(all_near(output, vectors_.tensor("output"), vectors_.notes().at("tolerance")));
    EXPECT_NO_THROW(weights_.finish());
  }

 private:
  ReferenceVectors vectors_;
  Weights weights_;
};

}  // namespace easel::testing
