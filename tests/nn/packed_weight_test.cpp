// A packed weight computes what the plain one does, whatever is asked of it.
#include "nn/packed_weight.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include "core/text.h"
#include "nn/affine.h"
#include "nn/layer_adapter.h"
#include "tensor/placement.h"

namespace easel {
namespace {

std::vector<c10::ScalarType> computed_dtypes() {
  std::vector<c10::ScalarType> found{at::kFloat};
  if (cpu_supports(at::kBFloat16)) found.push_back(at::kBFloat16);
  return found;
}

double relative_error(const at::Tensor& found, const at::Tensor& wanted) {
  return ((found.to(at::kDouble) - wanted).norm() / wanted.norm()).item<double>();
}

double rounding_of(c10::ScalarType dtype) {
  return dtype == at::kFloat ? 1e-6 : 0x1p-8;
}

at::Tensor channels_last(const at::Tensor& tensor) {
  return tensor.contiguous(at::MemoryFormat::ChannelsLast);
}

struct ConvolutionCase {
  std::int64_t in, out, kernel, stride, padding, height, width;
};

const std::vector<ConvolutionCase> kConvolutions{{4, 32, 3, 1, 1, 9, 7},
                                                 {32, 4, 3, 1, 1, 8, 8},
                                                 {48, 80, 3, 2, 1, 10, 6},
                                                 {33, 7, 3, 1, 1, 5, 5},
                                                 {16, 16, 2, 2, 0, 8, 4}};

TEST(PackedWeight, ConvolutionMatchesFloat64AndIsChannelsLast) {
  for (const auto dtype : computed_dtypes()) {
    for (const auto& c : kConvolutions) {
      SCOPED_TRACE(concat(dtype_name(dtype), " ", c.in, " to ", c.out, ", kernel ", c.kernel));
      const auto input = at::randn({2, c.in, c.height, c.width}).to(dtype), bias = at::randn({c.out}).to(dtype);
      const auto weight = channels_last(at::randn({c.out, c.in, c.kernel, c.kernel}).to(dtype));
      const auto packed = pack_convolution_weight(weight, c.stride, c.padding);
      ASSERT_EQ(is_packed(packed), packs_convolutions(dtype));
      if (!is_packed(packed)) continue;
      const auto found = packed_convolution(input, packed, bias, c.stride, c.padding);
      const auto wanted = at::conv2d(input.to(at::kDouble), weight.to(at::kDouble), bias.to(at::kDouble),
                                     {c.stride, c.stride}, {c.padding, c.padding});
      EXPECT_LE(relative_error(found, wanted), rounding_of(dtype));
      EXPECT_TRUE(found.is_contiguous(at::MemoryFormat::ChannelsLast));
      EXPECT_EQ(found.scalar_type(), dtype);
    }
  }
}

TEST(PackedWeight, LinearMatchesFloat64) {
  for (const auto dtype : computed_dtypes()) {
    const auto weight = at::randn({24, 320}).to(dtype), bias = at::randn({24}).to(dtype);
    const auto packed = pack_linear_weight(weight);
    for (const auto& shape : std::vector<std::vector<std::int64_t>>{{320}, {1, 320}, {7, 320}, {2, 3, 4, 320}}) {
      const auto input = at::randn(shape).to(dtype);
      for (const auto& b : {bias, at::Tensor()}) {
        const auto wide_bias = b.defined() ? std::optional<at::Tensor>(b.to(at::kDouble)) : std::nullopt;
        const auto wanted = at::linear(input.to(at::kDouble), weight.to(at::kDouble), wide_bias);
        const auto found = affine(input, packed, b);
        EXPECT_EQ(found.sizes(), wanted.sizes());
        EXPECT_LE(relative_error(found, wanted), rounding_of(dtype)) << dtype_name(dtype);
      }
    }
    EXPECT_EQ(affine(at::randn({0, 320}).to(dtype), packed).sizes(), (std::vector<std::int64_t>{0, 24}));
  }
}

TEST(PackedWeight, IsUnpackedToTheSameNumbers) {
  for (const auto dtype : computed_dtypes()) {
    const auto linear = at::randn({24, 33}).to(dtype), kernel = channels_last(at::randn({7, 33, 3, 3}).to(dtype));
    EXPECT_TRUE(unpacked(pack_linear_weight(linear)).equal(linear));
    EXPECT_TRUE(unpacked(pack_convolution_weight(kernel, 1, 1)).equal(kernel));
  }
}

// A weight is packed from the layout in which it is stored, without a copy in another one.
TEST(PackedWeight, OfAConvolutionDoesNotDependOnTheLayoutBefore) {
  for (const auto dtype : computed_dtypes()) {
    if (!packs_convolutions(dtype)) continue;
    const auto stored = at::randn({48, 33, 3, 3}).to(dtype);
    const auto input = at::randn({2, 33, 6, 5}).to(dtype);
    const auto found = packed_convolution(input, pack_convolution_weight(stored, 1, 1), {}, 1, 1);
    EXPECT_TRUE(found.equal(packed_convolution(input, pack_convolution_weight(channels_last(stored), 1, 1), {}, 1, 1)));
  }
}

// Batches of requests rely on it: an image must not depend on what shares its step.
TEST(PackedWeight, ARowIsTheSameAloneAndInABatch) {
  for (const auto dtype : computed_dtypes()) {
    SCOPED_TRACE(dtype_name(dtype));
    const auto kernel = pack_convolution_weight(channels_last(at::randn({64, 32, 3, 3}).to(dtype)), 1, 1);
    const auto images = at::randn({4, 32, 16, 16}).to(dtype);
    const auto weight = pack_linear_weight(at::randn({320, 320}).to(dtype));
    const auto tokens = at::randn({4, 77, 320}).to(dtype);
    const auto rows = affine(tokens, weight);
    for (std::int64_t i = 0; i < 4; ++i) {
      EXPECT_TRUE(affine(tokens.narrow(0, i, 1), weight).equal(rows.narrow(0, i, 1)));
      if (!is_packed(kernel)) continue;
      const auto maps = packed_convolution(images, kernel, {}, 1, 1);
      EXPECT_TRUE(packed_convolution(images.narrow(0, i, 1), kernel, {}, 1, 1).equal(maps.narrow(0, i, 1)));
    }
  }
}

TEST(PackedWeight, OtherWeightsStayAsTheyAre) {
  const auto pointwise = at::randn({8, 8, 1, 1});
  EXPECT_TRUE(pack_convolution_weight(pointwise, 1, 0).is_same(pointwise));
  const auto wide = at::randn({8, 8}).to(at::kDouble);
  EXPECT_TRUE(pack_linear_weight(wide).is_same(wide));
  const auto meta = at::randn({8, 8}).to(at::kMeta);
  EXPECT_TRUE(pack_linear_weight(meta).is_same(meta));
}

// Each kind of adapter that reads the weight: differences, and DoRA by both rules.
TEST(PackedWeight, AdaptersReadTheirNumbers) {
  constexpr double kFloatRounding = 1e-5;
  const auto x = at::randn({3, 8, 6, 6}), plain = channels_last(at::randn({6, 8, 3, 3})), bias = at::randn({6});
  const auto packed = pack_convolution_weight(plain, 1, 1);
  const LowRank factors{at::randn({2, 8, 3, 3}), {}, at::randn({6, 2, 1, 1}), {}};
  const auto lengths = at::randn({6, 1, 1, 1}).abs();
  const std::vector<LayerAdapter> adapters{
      {.change = factors, .scale = 0.5},
      {.change = Difference{at::randn({6, 8, 3, 3})}},
      {.change = factors, .magnitude = Magnitude{lengths, Magnitude::Rule::kPeft}},
      {.change = factors, .magnitude = Magnitude{lengths, Magnitude::Rule::kLycoris}},
      {.change = Difference{at::randn({6, 8, 3, 3})}, .magnitude = Magnitude{lengths, Magnitude::Rule::kLycoris}},
  };
  for (std::size_t i = 0; i < adapters.size(); ++i) {
    const auto run = [&](const at::Tensor& weight) {
      const LayerAdapters used{{{.adapter = std::make_shared<const LayerAdapter>(adapters[i]), .weight = 0.8}}};
      return apply_adapters(used, {.input = x, .weight = weight, .bias = bias, .stride = 1, .padding = 1});
    };
    const auto wanted = run(plain);
    EXPECT_LE(((run(packed) - wanted).norm() / wanted.norm()).item<double>(), kFloatRounding) << "adapter " << i;
  }
}

}  // namespace
}  // namespace easel
