// Whichever library multiplies, the product agrees with float64.
#include "nn/affine.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "easel/noise.h"

namespace easel {
namespace {

double error(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias) {
  const auto found = affine(input, weight, bias);
  const auto wide_bias = bias.defined() ? std::optional<at::Tensor>(bias.to(at::kDouble)) : std::nullopt;
  const auto wanted = at::linear(input.to(at::kDouble), weight.to(at::kDouble), wide_bias);
  EXPECT_EQ(found.sizes(), wanted.sizes());
  EXPECT_EQ(found.scalar_type(), input.scalar_type());
  return ((found.to(at::kDouble) - wanted).norm() / wanted.norm()).item<double>();
}

TEST(Affine, MatchesFloat64Product) {
  constexpr double kRounding = 1e-6;  // of float32, over a few hundred terms
  NoiseSource noise(5);
  const auto weight = noise.normal({24, 320}), bias = noise.normal({24});
  for (const auto& shape :
       std::vector<std::vector<std::int64_t>>{{320}, {1, 320}, {7, 320}, {2, 77, 320}, {2, 3, 4, 320}}) {
    const auto input = noise.normal(shape);
    EXPECT_LE(error(input, weight, bias), kRounding);
    EXPECT_LE(error(input, weight, {}), kRounding);
  }
}

TEST(Affine, AcceptsNonContiguousTensors) {
  constexpr double kRounding = 1e-6;
  NoiseSource noise(6);
  const auto transposed = noise.normal({2, 16, 5}).transpose(1, 2), wide = noise.normal({9, 40});
  EXPECT_LE(error(transposed, wide.narrow(1, 8, 16), {}), kRounding);
  EXPECT_LE(error(transposed, noise.normal({16, 9}).t(), noise.normal({9})), kRounding);
  EXPECT_LE(error(noise.normal({3, 80}).slice(1, 0, 80, 2), wide, {}), kRounding);
}

TEST(Affine, LeavesOtherDtypesAndEmptyInputsToLibtorch) {
  NoiseSource noise(7);
  const auto input = noise.normal({4, 8}), weight = noise.normal({6, 8});
  for (const auto dtype : {at::kDouble, at::kBFloat16}) {
    EXPECT_TRUE(affine(input.to(dtype), weight.to(dtype)).equal(at::linear(input.to(dtype), weight.to(dtype))));
  }
  EXPECT_EQ(affine(at::zeros({0, 8}), weight).sizes(), (std::vector<std::int64_t>{0, 6}));
}

}  // namespace
}  // namespace easel
