#include "nn/onednn_scratch.h"

#include <gtest/gtest.h>

namespace easel {
namespace {

constexpr CpuCapabilities kSkylake{.avx512 = true};
constexpr CpuCapabilities kZen4{.avx512 = true, .avx512_bf16 = true};
constexpr CpuCapabilities kSapphireRapids{.avx512 = true, .avx512_bf16 = true, .amx_bf16 = true};
constexpr CpuCapabilities kGraniteRapids{.avx512 = true, .avx512_bf16 = true, .amx_bf16 = true, .amx_fp16 = true};

TEST(OneDnnKernels, FollowTheCpu) {
  EXPECT_EQ(onednn_kernels(c10::kBFloat16, {}, ""), OneDnnKernels::kDirect) << "not x86, or without AVX-512";
  EXPECT_EQ(onednn_kernels(c10::kBFloat16, kSkylake, ""), OneDnnKernels::kEmulated);
  EXPECT_EQ(onednn_kernels(c10::kBFloat16, kZen4, ""), OneDnnKernels::kDirect);
  EXPECT_EQ(onednn_kernels(c10::kBFloat16, kSapphireRapids, ""), OneDnnKernels::kTiled);
  EXPECT_EQ(onednn_kernels(c10::kHalf, kSapphireRapids, ""), OneDnnKernels::kDirect);
  EXPECT_EQ(onednn_kernels(c10::kHalf, kGraniteRapids, ""), OneDnnKernels::kTiled);
  EXPECT_EQ(onednn_kernels(c10::kFloat, kGraniteRapids, ""), OneDnnKernels::kDirect);
}

TEST(OneDnnKernels, StayWithinTheLimitOfTheEnvironment) {
  EXPECT_EQ(onednn_kernels(c10::kBFloat16, kGraniteRapids, "AVX512_CORE"), OneDnnKernels::kEmulated);
  for (const auto* limit : {"", "ALL", "avx512_core", "AVX512_CORE_AMX"}) {
    EXPECT_TRUE(onednn_uses_avx512(kZen4, limit)) << limit;
    EXPECT_FALSE(onednn_uses_avx512({}, limit)) << limit;
  }
  for (const auto* limit : {"SSE41", "avx2", "AVX2_VNNI"}) EXPECT_FALSE(onednn_uses_avx512(kZen4, limit)) << limit;
  EXPECT_EQ(onednn_kernels(c10::kBFloat16, kGraniteRapids, "AVX512_CORE_VNNI"), OneDnnKernels::kEmulated);
  EXPECT_EQ(onednn_kernels(c10::kBFloat16, kGraniteRapids, "AVX512_CORE_BF16"), OneDnnKernels::kDirect);
  EXPECT_EQ(onednn_kernels(c10::kBFloat16, kGraniteRapids, "AVX512_CORE_AMX"), OneDnnKernels::kTiled);
  EXPECT_EQ(onednn_kernels(c10::kHalf, kGraniteRapids, "AVX512_CORE_AMX"), OneDnnKernels::kDirect);
  EXPECT_EQ(onednn_kernels(c10::kHalf, kGraniteRapids, "AVX512_CORE_AMX_FP16"), OneDnnKernels::kTiled);
  EXPECT_EQ(onednn_kernels(c10::kBFloat16, kGraniteRapids, "avx512_core_bf16"), OneDnnKernels::kDirect);
  EXPECT_EQ(onednn_kernels(c10::kBFloat16, kGraniteRapids, "DEFAULT"), OneDnnKernels::kTiled);
}

// Decoding 8 x 8 latents with the shipped autoencoder allocated 763,928 bytes with one thread and 845,872 with two on a
// Xeon with AMX. 665,600 of them are tensors and the weight of this convolution, the one at the peak.
TEST(ConvolutionScratch, AgreesWithMeasuredCallsOnAmx) {
  const OneDnnConvolution widest{.batch = 1,
                                 .in_channels = 32,
                                 .out_channels = 16,
                                 .out_height = 64,
                                 .out_width = 64,
                                 .kernel = 3,
                                 .stride = 1,
                                 .padding = 1};
  constexpr std::int64_t kWithoutScratch = 665'600;
  EXPECT_EQ(kWithoutScratch + convolution_scratch_bytes(widest, OneDnnKernels::kTiled, 1), 763'928);
  EXPECT_EQ(kWithoutScratch + convolution_scratch_bytes(widest, OneDnnKernels::kTiled, 2), 845'872);
}

// Measured with DNNL_MAX_CPU_ISA=AVX512_CORE: 262,272 bytes of scratch memory with one thread.
TEST(ConvolutionScratch, EmulatedPointwiseKernelsHoldFloat32ResultsPerThread) {
  OneDnnConvolution shortcut{.batch = 1,
                             .in_channels = 32,
                             .out_channels = 16,
                             .out_height = 64,
                             .out_width = 64,
                             .kernel = 1,
                             .stride = 1,
                             .padding = 0};
  EXPECT_EQ(convolution_scratch_bytes(shortcut, OneDnnKernels::kEmulated, 1), 262'144 + 128);
  EXPECT_EQ(convolution_scratch_bytes(shortcut, OneDnnKernels::kEmulated, 2), 2 * 262'144 + 128);
  EXPECT_EQ(convolution_scratch_bytes(shortcut, OneDnnKernels::kDirect, 2), 0);
  shortcut.kernel = 3;
  EXPECT_EQ(convolution_scratch_bytes(shortcut, OneDnnKernels::kEmulated, 2), 0);
}

// At the sizes of SD 1.5 and SDXL: more threads never need less, and the block of one thread never exceeds the
// padded input by more than alignment costs.
TEST(ConvolutionScratch, TiledBlocksAreBoundedByTheInput) {
  for (const std::int64_t channels : {4, 16, 128, 320, 512, 1280, 2560}) {
    for (const std::int64_t edge : {8, 16, 64, 128, 512}) {
      const OneDnnConvolution call{.batch = 2,
                                   .in_channels = channels,
                                   .out_channels = 320,
                                   .out_height = edge,
                                   .out_width = edge,
                                   .kernel = 3,
                                   .stride = 1,
                                   .padding = 1};
      const auto one = convolution_scratch_bytes(call, OneDnnKernels::kTiled, 1);
      const auto padded = (channels + 32) * (edge + 2) * (edge + 10) * 2;
      EXPECT_LE(one, padded + 100'000) << channels << " channels, " << edge << " cells";
      EXPECT_GT(one, 16'000);
      EXPECT_GE(convolution_scratch_bytes(call, OneDnnKernels::kTiled, 16), one);
    }
  }
}

}  // namespace
}  // namespace easel
