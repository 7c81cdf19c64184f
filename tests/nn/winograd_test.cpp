// easel's own convolutions, each against a plain computation in float64.
#include "nn/kernels/winograd.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include <vector>

#include "core/text.h"
#include "nn/kernels/winograd_kernel.h"
#include "support/counting_allocator.h"
#include "tensor/placement.h"

namespace easel {
namespace {

using testing::peak_allocated_bytes;

/// A convolution that both kinds of machines compute by Winograd's algorithm, if they have a kernel for the dtype.
ConvolutionShape shape_of(std::int64_t images, std::int64_t in, std::int64_t out, std::int64_t height,
                          std::int64_t width) {
  return {.images = images,
          .in_channels = in,
          .out_channels = out,
          .height = height,
          .width = width,
          .kernel = 3,
          .stride = 1,
          .padding = 1};
}

// Whole tiles and others, one cell, channels of whole vectors and panels and others, and several passes.
const std::vector<ConvolutionShape> kShapes{
    shape_of(2, 32, 64, 16, 16), shape_of(1, 1, 1, 1, 1),    shape_of(3, 7, 5, 9, 14),     shape_of(1, 33, 70, 4, 31),
    shape_of(2, 100, 130, 5, 3), shape_of(1, 64, 3, 40, 22), shape_of(1, 1300, 140, 6, 5), shape_of(2, 16, 48, 2, 50)};

std::string describe_shape(const ConvolutionShape& s) {
  return concat(s.images, " x ", s.in_channels, " to ", s.out_channels, " at ", s.height, " x ", s.width);
}

struct Operands {
  at::Tensor input, weight, bias;
};

Operands convolution_operands(const ConvolutionShape& s, c10::ScalarType dtype) {
  return {at::randn({s.images, s.in_channels, s.height, s.width}).to(dtype),
          at::randn({s.out_channels, s.in_channels, 3, 3}).to(dtype), at::randn({s.out_channels}).to(dtype)};
}

at::Tensor plain_convolution(const Operands& x) {
  const auto bias = x.bias.defined() ? x.bias.to(at::kDouble) : x.bias;
  return at::conv2d(x.input.to(at::kDouble), x.weight.to(at::kDouble), bias, {1, 1}, {1, 1});
}

double relative_distance(const at::Tensor& found, const at::Tensor& wanted) {
  return ((found.to(at::kDouble) - wanted).norm() / wanted.norm()).item<double>();
}

double allowed_winograd_error(c10::ScalarType dtype) {
  return dtype == at::kFloat ? 1e-6 : 0x1p-8;
}

/// The dtypes for which this processor has a kernel; for others, oneDNN's is used.
std::vector<c10::ScalarType> winograd_dtypes() {
  std::vector<c10::ScalarType> found;
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    if (uses_winograd(shape_of(1, 128, 128, 64, 64), dtype)) found.push_back(dtype);
  }
  return found;
}

class Winograd : public ::testing::TestWithParam<c10::ScalarType> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Winograd);

TEST_P(Winograd, MatchesFloat64) {
  for (const auto& s : kShapes) {
    const auto x = convolution_operands(s, GetParam());
    const auto found = winograd_convolution(x.input, x.weight, x.bias);
    EXPECT_EQ(found.scalar_type(), GetParam());
    EXPECT_TRUE(found.is_contiguous(at::MemoryFormat::ChannelsLast)) << describe_shape(s);
    EXPECT_LE(relative_distance(found, plain_convolution(x)), allowed_winograd_error(GetParam())) << describe_shape(s);
  }
}

TEST_P(Winograd, TakesOperandsOfEitherLayoutAndNoBias) {
  for (const auto& s : kShapes) {
    auto x = convolution_operands(s, GetParam());
    x.bias = at::Tensor();
    const auto found = winograd_convolution(x.input, x.weight, x.bias);
    EXPECT_LE(relative_distance(found, plain_convolution(x)), allowed_winograd_error(GetParam())) << describe_shape(s);
    const auto last = [](const at::Tensor& t) { return t.contiguous(at::MemoryFormat::ChannelsLast); };
    EXPECT_TRUE(winograd_convolution(last(x.input), last(x.weight), x.bias).equal(found)) << describe_shape(s);
  }
}

TEST_P(Winograd, AnImageIsTheSameAloneAndTogetherWithAnyNumberOfThreads) {
  const auto threads = at::get_num_threads();
  for (const auto& s : kShapes) {
    const auto x = convolution_operands(s, GetParam());
    at::set_num_threads(1);
    const auto all = winograd_convolution(x.input, x.weight, x.bias);
    for (const int count : {2, 3}) {
      at::set_num_threads(count);
      EXPECT_TRUE(winograd_convolution(x.input, x.weight, x.bias).equal(all)) << describe_shape(s);
    }
    for (std::int64_t i = 0; i < s.images; ++i) {
      EXPECT_TRUE(winograd_convolution(x.input.narrow(0, i, 1), x.weight, x.bias).equal(all.narrow(0, i, 1)))
          << describe_shape(s);
    }
  }
  at::set_num_threads(threads);
}

TEST_P(Winograd, ComputesNothingForNoImages) {
  const auto x = convolution_operands(shape_of(2, 32, 64, 16, 16), GetParam());
  EXPECT_EQ(winograd_convolution(x.input.narrow(0, 0, 0), x.weight, x.bias).sizes(),
            (std::vector<std::int64_t>{0, 64, 16, 16}));
}

TEST_P(Winograd, AllocatesWhatIsEstimated) {
  for (const auto& s : kShapes) {
    const auto x = convolution_operands(s, GetParam());
    const auto last = x.input.contiguous(at::MemoryFormat::ChannelsLast);
    const auto result = x.input.element_size() * s.images * s.out_channels * s.height * s.width;
    const auto found = peak_allocated_bytes([&] { winograd_convolution(last, x.weight, {}); }) - result;
    const auto estimate = winograd_bytes(s, GetParam(), /*is_contiguous=*/true, at::get_num_threads());
    EXPECT_LE(found, estimate) << describe_shape(s);
    EXPECT_GE(static_cast<double>(found), 0.95 * static_cast<double>(estimate)) << describe_shape(s);
  }
}

TEST_P(Winograd, IsUsedByPixelsAndChannelsButNotByImages) {
  const auto used = [&](std::int64_t images, std::int64_t channels, std::int64_t edge) {
    return is_winograd_faster(shape_of(images, channels, channels, edge, edge), GetParam());
  };
  EXPECT_TRUE(used(1, 320, 64));
  EXPECT_TRUE(used(16, 320, 64));
  EXPECT_FALSE(used(1, 320, 8));
  EXPECT_FALSE(used(64, 320, 8));
  EXPECT_FALSE(used(1, 64, 64));
}

TEST_P(Winograd, IsNotUsedForOtherConvolutions) {
  const auto used = [&](std::int64_t kernel, std::int64_t stride, std::int64_t padding) {
    auto shape = shape_of(1, 128, 128, 64, 64);
    shape.kernel = kernel;
    shape.stride = stride;
    shape.padding = padding;
    return uses_winograd(shape, GetParam());
  };
  EXPECT_TRUE(used(3, 1, 1));
  EXPECT_FALSE(used(1, 1, 0));
  EXPECT_FALSE(used(3, 2, 1));
  EXPECT_FALSE(used(3, 1, 0));
}

TEST(WinogradUse, NeedsAKernelForTheDtype) {
  EXPECT_FALSE(uses_winograd(shape_of(1, 128, 128, 64, 64), at::kHalf));
  EXPECT_FALSE(uses_winograd(shape_of(1, 128, 128, 64, 64), at::kDouble));
}

INSTANTIATE_TEST_SUITE_P(, Winograd, ::testing::ValuesIn(winograd_dtypes()),
                         [](const auto& instance) { return dtype_name(instance.param); });

// uses_winograd chooses one kernel; on a processor with AVX-512 this runs the other one.
TEST(WinogradKernel, Avx2MatchesFloat64) {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return;
  const auto& kernel = kernels::float32_winograd_avx2();
  for (const auto& s : kShapes) {
    const auto x = convolution_operands(s, at::kFloat);
    const auto input = x.input.contiguous(at::MemoryFormat::ChannelsLast);
    std::vector<float> weights(static_cast<std::size_t>(kernel.weight_count(s.in_channels, s.out_channels)));
    for (std::int64_t block = 0; block < kernel.weight_blocks(s.in_channels, s.out_channels); ++block) {
      kernel.transform_weights(x.weight.const_data_ptr<float>(), s.in_channels, s.out_channels, block, weights.data());
    }
    auto found = at::empty({s.images, s.out_channels, s.height, s.width},
                           x.input.options().memory_format(at::MemoryFormat::ChannelsLast));
    std::vector<float> scratch(static_cast<std::size_t>(kernel.scratch_count(s.in_channels, s.out_channels)));
    constexpr auto kTile = kernels::kWinogradTile;
    const auto tiles = s.images * ((s.height + kTile - 1) / kTile) * ((s.width + kTile - 1) / kTile);
    kernel.run({.input = input.const_data_ptr(),
                .images = s.images,
                .height = s.height,
                .width = s.width,
                .in_channels = s.in_channels,
                .weights = weights.data(),
                .bias = x.bias.const_data_ptr<float>(),
                .output = found.mutable_data_ptr(),
                .all_out_channels = s.out_channels,
                .first_out_channel = 0,
                .out_channels = s.out_channels},
               0, tiles, scratch.data());
    EXPECT_LE(relative_distance(found, plain_convolution(x)), allowed_winograd_error(at::kFloat)) << describe_shape(s);
  }
#endif
}

}  // namespace
}  // namespace easel
