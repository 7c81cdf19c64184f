#include "nn/onednn_scratch.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <string>

#include "tensor/placement.h"

namespace easel {
namespace {

constexpr std::int64_t kHalfBytes = 2, kFloatBytes = 4;
constexpr std::int64_t kSimdWidth = 16;  // float32 numbers in a vector
constexpr std::int64_t kPage = 4096;
constexpr std::int64_t kL1Bytes = 48 << 10, kL2Bytes = (2 << 20) * 3 / 4;  // oneDNN counts on 3/4 of the L2 cache

std::int64_t divided_up(std::int64_t value, std::int64_t by) {
  return (value + by - 1) / by;
}
std::int64_t rounded_up(std::int64_t value, std::int64_t to) {
  return divided_up(value, to) * to;
}

/// How the tiled kernels see a convolution. Names are oneDNN's.
struct TiledShape {
  explicit TiledShape(const OneDnnConvolution& call)
      : ic(call.in_channels > 2 * kSimdWidth ? rounded_up(call.in_channels, 2 * kSimdWidth) : call.in_channels),
        ic_block(std::min(ic, 2 * kSimdWidth)),
        oc_block(kSimdWidth * std::min<std::int64_t>(divided_up(call.out_channels, kSimdWidth), 4)),
        ihp((call.out_height - 1) * call.stride + call.kernel),
        iwp((call.out_width - 1) * call.stride + call.kernel) {}

  std::int64_t ic, ic_block, oc_block;
  std::int64_t ihp, iwp;  // height and width of the padded input
};

/// The rows of output that a thread computes from one copied block of input: as many as the L1 cache holds, else the L2
/// cache, as long as every thread gets some.
std::int64_t rows_per_block(const OneDnnConvolution& call, const TiledShape& shape, std::int64_t threads) {
  const auto oh = call.out_height, ow = call.out_width;
  const auto row_in_l1 = kHalfBytes * (shape.ic * shape.iwp + ow * shape.oc_block);
  const auto row_in_l2 = kHalfBytes * (2 * shape.ic_block * shape.iwp + ow * shape.oc_block);
  const auto fitting = row_in_l1 < kL1Bytes ? kL1Bytes / row_in_l1 : kL2Bytes / 2 / row_in_l2;
  auto rows = std::clamp<std::int64_t>(fitting, 1, oh);
  constexpr double kEvenness = 0.9;
  constexpr std::int64_t kFewestCells = 128;
  for (auto fewer = rows; fewer >= 1; --fewer) {
    const bool even = static_cast<double>(oh) > kEvenness * static_cast<double>(rounded_up(oh, fewer));
    if (even && fewer * shape.iwp > kFewestCells) {
      rows = fewer;
      break;
    }
  }
  const auto row_parts = divided_up(threads, call.batch * divided_up(call.out_channels, shape.oc_block));
  return std::min(rows, divided_up(oh, row_parts));
}

std::int64_t tiled_scratch(const OneDnnConvolution& call, std::int64_t threads) {
  constexpr std::int64_t kBatchElement = 40, kTiles = 2 * kPage;  // brgemm_batch_element_t; four tiles of 1 KiB, padded
  const TiledShape shape(call);
  const auto batch =
      divided_up(rounded_up(call.kernel * call.kernel * kBatchElement, kPage), kBatchElement) * kBatchElement;
  if (call.kernel == 1) return 2 * kPage + threads * (batch + kTiles);

  const auto rows = rows_per_block(call, shape, threads);
  const auto block_height = std::min((rows - 1) * call.stride + call.kernel, shape.ihp) + 2 * call.padding;
  const auto copied_rows = block_height + call.kernel + 1;  // blocks may begin and end within a row
  const auto input = rounded_up(copied_rows * shape.iwp * rounded_up(shape.ic, shape.ic_block), kPage) * kHalfBytes;
  const auto mask = rounded_up(divided_up(call.out_height, rows) * divided_up(shape.ic, shape.ic_block), kPage);
  constexpr std::int64_t kBuffers = 4;  // each aligned to a page
  return kBuffers * kPage + threads * (batch + input + mask + kTiles);
}

std::int64_t emulated_scratch(const OneDnnConvolution& call, std::int64_t threads) {
  constexpr std::int64_t kAlignment = 128;
  if (call.kernel != 1) return 0;
  return kAlignment +
         threads * call.out_height * call.out_width * rounded_up(call.out_channels, kSimdWidth) * kFloatBytes;
}

CpuCapabilities cpu_capabilities() {
  return {.avx512 = cpu_has("avx512_bw"),
          .avx512_bf16 = cpu_has("avx512_bf16"),
          .amx_bf16 = cpu_has("amx_bf16"),
          .amx_fp16 = cpu_has("amx_fp16")};
}

std::string in_upper_case(std::string_view text) {
  std::string upper(text);
  std::ranges::transform(upper, upper.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return upper;
}

/// As oneDNN reads it: the newer name first.
std::string_view max_isa() {
  for (const char* name : {"ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"}) {
    if (const char* value = std::getenv(name)) return value;
  }
  return {};
}

}  // namespace

OneDnnKernels onednn_kernels(c10::ScalarType dtype, const CpuCapabilities& cpu, std::string_view max_isa) {
  // In rising order; whatever is not among them does not limit these instructions.
  constexpr std::array<std::string_view, 6> kLimits = {"AVX512_CORE",      "AVX512_CORE_VNNI", "AVX512_CORE_BF16",
                                                       "AVX512_CORE_FP16", "AVX512_CORE_AMX",  "AVX512_CORE_AMX_FP16"};
  const auto limit = std::ranges::find(kLimits, in_upper_case(max_isa)) - kLimits.begin();
  const bool allows_bf16 = limit >= 2, allows_amx_bf16 = limit >= 4, allows_amx_fp16 = limit >= 5;
  if (dtype == c10::kHalf) return cpu.amx_fp16 && allows_amx_fp16 ? OneDnnKernels::kTiled : OneDnnKernels::kDirect;
  if (dtype != c10::kBFloat16 || !cpu.avx512) return OneDnnKernels::kDirect;
  if (cpu.amx_bf16 && allows_amx_bf16) return OneDnnKernels::kTiled;
  return cpu.avx512_bf16 && allows_bf16 ? OneDnnKernels::kDirect : OneDnnKernels::kEmulated;
}

bool onednn_uses_avx512(const CpuCapabilities& cpu, std::string_view max_isa) {
  constexpr std::array<std::string_view, 5> kLowerLimits = {"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2"};
  return cpu.avx512 && std::ranges::find(kLowerLimits, in_upper_case(max_isa)) == kLowerLimits.end();
}

bool onednn_uses_avx512() {
  static const auto cpu = cpu_capabilities();
  return onednn_uses_avx512(cpu, max_isa());
}

OneDnnKernels onednn_kernels(c10::ScalarType dtype) {
  static const auto cpu = cpu_capabilities();
  return onednn_kernels(dtype, cpu, max_isa());
}

std::int64_t convolution_scratch_bytes(const OneDnnConvolution& call, OneDnnKernels kernels, std::int64_t threads) {
  switch (kernels) {
    case OneDnnKernels::kDirect:
      return 0;
    case OneDnnKernels::kEmulated:
      return emulated_scratch(call, threads);
    case OneDnnKernels::kTiled:
      return tiled_scratch(call, threads);
  }
  return 0;
}

}  // namespace easel
