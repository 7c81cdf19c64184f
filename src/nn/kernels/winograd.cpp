#include "nn/kernels/winograd.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "nn/kernels/instruction_set.h"
#include "nn/kernels/winograd_kernel.h"
#include "tensor/parallel.h"

namespace easel {
namespace {

using kernels::WinogradConvolution;
using kernels::WinogradKernel;

const WinogradKernel* find_winograd_kernel(c10::ScalarType dtype) {
#if defined(__x86_64__)
  switch (instructions_for(dtype)) {
    case InstructionSet::kAvx2:
      return &kernels::float32_winograd_avx2();
    case InstructionSet::kAvx512:
      return &kernels::float32_winograd_avx512();
    case InstructionSet::kAvx512BFloat16:
      return &kernels::bfloat16_winograd_avx512();
    case InstructionSet::kNone:
      break;
  }
#endif
  return nullptr;
}

const WinogradKernel* winograd_kernel_for(c10::ScalarType dtype) {
  static const WinogradKernel* const float32 = find_winograd_kernel(at::kFloat);
  static const WinogradKernel* const bfloat16 = find_winograd_kernel(at::kBFloat16);
  return dtype == at::kFloat ? float32 : dtype == at::kBFloat16 ? bfloat16 : nullptr;
}

enum class WinogradUse { kWhereFaster, kAlways, kNever };

WinogradUse winograd_use() {
  static const WinogradUse use = [] {
    const char* value = std::getenv("EASEL_WINOGRAD");
    const std::string_view text = value == nullptr ? "" : value;
    return text == "always" ? WinogradUse::kAlways : text == "never" ? WinogradUse::kNever : WinogradUse::kWhereFaster;
  }();
  return use;
}

std::int64_t tiles_of_an_image(std::int64_t height, std::int64_t width) {
  constexpr auto kTile = kernels::kWinogradTile;
  return (height + kTile - 1) / kTile * ((width + kTile - 1) / kTile);
}

/// How a call is divided. Output channels may be computed in several passes over the input: if there are few tiles, so
/// few that the transformed weights of a pass stay in the last cache between being written and read, and otherwise so
/// many that the input is transformed seldom.
struct WinogradPlan {
  WinogradPlan(const WinogradKernel& kernel, const ConvolutionShape& shape, std::int64_t threads) {
    constexpr std::int64_t kManyTiles = 128, kCacheBytes = 12 << 20, kMostBytes = 48 << 20, kPanel = 64;
    const auto tiles = shape.images * tiles_of_an_image(shape.height, shape.width);
    groups = (tiles + kernel.tiles_at_once - 1) / kernel.tiles_at_once;
    slices = std::clamp<std::int64_t>(threads, 1, groups);
    const auto bytes_of_channel =
        kernels::kWinogradPositions * shape.in_channels * static_cast<std::int64_t>(sizeof(float));
    const auto fitting = (tiles < kManyTiles ? kCacheBytes : kMostBytes) / bytes_of_channel / kPanel * kPanel;
    channels = std::min(shape.out_channels, std::max(fitting, kPanel));
    weight_count = kernel.weight_count(shape.in_channels, channels);
    scratch_count = kernel.scratch_count(shape.in_channels, channels);
  }

  std::int64_t groups;         // of tiles_at_once tiles
  std::int64_t slices;         // of the groups, which are computed in parallel
  std::int64_t channels;       // output channels of a pass
  std::int64_t weight_count;   // numbers of the transformed weights of a pass
  std::int64_t scratch_count;  // numbers of each slice
};

void transform_weights(const WinogradKernel& kernel, const at::Tensor& weight, float* target) {
  const auto out_channels = weight.size(0), in_channels = weight.size(1);
  const auto* source = weight.const_data_ptr<float>();
  parallel_for(0, kernel.weight_blocks(in_channels, out_channels), 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto block = begin; block < end; ++block) {
      kernel.transform_weights(source, in_channels, out_channels, block, target);
    }
  });
}

void run_slices(const WinogradKernel& kernel, const WinogradPlan& plan, const WinogradConvolution& call,
                float* scratch) {
  const auto tiles = call.images * tiles_of_an_image(call.height, call.width);
  const auto start_of = [&](std::int64_t slice) {
    return std::min(plan.groups * slice / plan.slices * kernel.tiles_at_once, tiles);
  };
  parallel_for(0, plan.slices, 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto slice = begin; slice < end; ++slice) {
      const auto first = start_of(slice);
      kernel.run(call, first, start_of(slice + 1) - first, scratch + slice * plan.scratch_count);
    }
  });
}

}  // namespace

ConvolutionShape convolution_shape(const at::Tensor& input, const at::Tensor& weight, std::int64_t stride,
                                   std::int64_t padding) {
  return {.images = input.size(0),
          .in_channels = input.size(1),
          .out_channels = weight.size(0),
          .height = input.size(2),
          .width = input.size(3),
          .kernel = weight.size(2),
          .stride = stride,
          .padding = padding};
}

/// Measured on Zen 4 with the channels of SD 1.5, against oneDNN's convolutions with packed weights. With fewer
/// channels it is faster as well, but less exact than they are.
bool is_winograd_faster(const ConvolutionShape& shape, c10::ScalarType dtype) {
  constexpr std::int64_t kFewestChannels = 128, kMostChannelsOfHalf = 1280;
  constexpr std::int64_t kFewestTiles = 16, kFewestTilesOfHalf = 64;
  if (shape.in_channels < kFewestChannels || shape.out_channels < kFewestChannels) return false;
  const auto tiles = tiles_of_an_image(shape.height, shape.width);
  if (dtype == at::kFloat) return tiles >= kFewestTiles;
  return tiles >= kFewestTilesOfHalf && shape.in_channels <= kMostChannelsOfHalf;
}

bool uses_winograd(const ConvolutionShape& shape, c10::ScalarType dtype) {
  if (shape.kernel != 3 || shape.stride != 1 || shape.padding != 1 || winograd_kernel_for(dtype) == nullptr) {
    return false;
  }
  const auto use = winograd_use();
  return use == WinogradUse::kWhereFaster ? is_winograd_faster(shape, dtype) : use == WinogradUse::kAlways;
}

at::Tensor winograd_convolution(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias) {
  const auto& kernel = *winograd_kernel_for(input.scalar_type());
  const auto x = input.contiguous(at::MemoryFormat::ChannelsLast);
  const auto images = x.size(0), in_channels = x.size(1), height = x.size(2), width = x.size(3);
  const auto out_channels = weight.size(0);
  auto output =
      at::empty({images, out_channels, height, width}, x.options().memory_format(at::MemoryFormat::ChannelsLast));
  if (output.numel() == 0) return output;

  const WinogradPlan plan(kernel, convolution_shape(x, weight, /*stride=*/1, /*padding=*/1), at::get_num_threads());
  const auto floats = x.options().dtype(at::kFloat);
  const auto transformed = at::empty({plan.weight_count}, floats);
  const auto scratch = at::empty({plan.slices * plan.scratch_count}, floats);
  const auto sums_start = bias.defined() ? bias.to(at::kFloat).contiguous() : bias;
  for (std::int64_t first = 0; first < out_channels; first += plan.channels) {
    const auto count = std::min(plan.channels, out_channels - first);
    const auto part = weight.narrow(0, first, count)
                          .to(at::kFloat, /*non_blocking=*/false, /*copy=*/false, at::MemoryFormat::Contiguous)
                          .contiguous();
    transform_weights(kernel, part, transformed.mutable_data_ptr<float>());
    run_slices(kernel, plan,
               {.input = x.const_data_ptr(),
                .images = images,
                .height = height,
                .width = width,
                .in_channels = in_channels,
                .weights = transformed.const_data_ptr<float>(),
                .bias = bias.defined() ? sums_start.const_data_ptr<float>() : nullptr,
                .output = output.mutable_data_ptr(),
                .all_out_channels = out_channels,
                .first_out_channel = first,
                .out_channels = count},
               scratch.mutable_data_ptr<float>());
  }
  return output;
}

std::int64_t winograd_bytes(const ConvolutionShape& shape, c10::ScalarType dtype, bool is_contiguous,
                            std::int64_t threads) {
  const WinogradPlan plan(*winograd_kernel_for(dtype), shape, threads);
  const bool is_copied = dtype != at::kFloat || !is_contiguous;
  const auto part = is_copied ? plan.channels * shape.in_channels * shape.kernel * shape.kernel : 0;
  return (plan.weight_count + plan.slices * plan.scratch_count + part) * static_cast<std::int64_t>(sizeof(float));
}

}  // namespace easel
