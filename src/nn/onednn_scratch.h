// The scratch memory of oneDNN's convolutions in half precision on a CPU.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <string_view>

namespace easel {

/// Which of oneDNN's convolution kernels compute in a dtype on this CPU, by what they need besides their operands.
enum class OneDnnKernels {
  kDirect,    ///< read and write the operands as they are; scratch memory is negligible
  kEmulated,  ///< bfloat16 with AVX-512 but without its bfloat16 instructions: float32 results of 1 x 1 kernels
  kTiled,     ///< AMX: each thread copies a block of padded input rows
};

/// The kernels for a dtype on this CPU, within what ONEDNN_MAX_CPU_ISA or DNNL_MAX_CPU_ISA allows oneDNN to use.
OneDnnKernels onednn_kernels(c10::ScalarType dtype);

/// Instructions that decide between the kernels.
struct CpuCapabilities {
  bool avx512 = false, avx512_bf16 = false, amx_bf16 = false, amx_fp16 = false;
};

/// The same for a CPU with these capabilities.
/// @param max_isa  value of the environment variable, in any case; empty: not limited
OneDnnKernels onednn_kernels(c10::ScalarType dtype, const CpuCapabilities& cpu, std::string_view max_isa);

/// Whether oneDNN computes with AVX-512 on this CPU, within the same limit.
bool onednn_uses_avx512();

/// The same for a CPU with these capabilities.
bool onednn_uses_avx512(const CpuCapabilities& cpu, std::string_view max_isa);

/// A square convolution with the same padding on all sides.
struct OneDnnConvolution {
  std::int64_t batch, in_channels, out_channels;
  std::int64_t out_height, out_width;
  std::int64_t kernel, stride, padding;
};

/// Bytes that one convolution in half precision allocates besides its operands and its reordered weight.
///
/// Follows oneDNN 3.12, jit_brgemm_conv_utils.cpp and jit_avx512_core_bf16_1x1_conv_kernel.cpp. For kTiled it is an
/// upper bound for Intel's processors with AMX, all of which have 48 KiB of L1 data cache and 2 MiB of L2 cache per
/// core: on them it agrees with two measured calls (see the test) and was not measured further.
/// @param threads  that oneDNN computes with
std::int64_t convolution_scratch_bytes(const OneDnnConvolution& call, OneDnnKernels kernels, std::int64_t threads);

}  // namespace easel
