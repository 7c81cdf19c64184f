#include "tensor/placement.h"

#include <ATen/Context.h>
#include <gmock/gmock.h>

#include <fstream>
#include <string>

#include "core/text.h"
#include "easel/error.h"
#include "support/message_of.h"
#include "tensor/compute_capability.h"

namespace easel {
namespace {

using ::testing::HasSubstr;

TEST(Placement, AutoIsFloat32OnACpuAndFloat16OnAGpu) {
  EXPECT_EQ(make_placement("cpu", "auto").dtype, c10::kFloat);
  const auto chosen = make_placement("auto", "auto");
  EXPECT_EQ(chosen.dtype, chosen.device.is_cpu() ? c10::kFloat : c10::kHalf);
  EXPECT_EQ(make_placement("cpu", "bfloat16").dtype, c10::kBFloat16);
}

TEST(Placement, UnknownNamesAndAbsentDevicesGiveDistinctErrors) {
  for (const char* device : {"gpu", "cuda:", "cuda:x", "cuda:1x", "", "cpu:0"}) {
    try {
      make_placement(device, "auto");
      FAIL() << device;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument) << device;
    }
  }
  EXPECT_THROW(make_placement("cpu", "int8"), Error);
  try {
    make_placement("cuda:99", "auto");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kUnavailable);
    EXPECT_NE(std::string(e.what()).find("CUDA"), std::string::npos) << "says what there is";
  }
}

TEST(Placement, DeviceFollowsFromWhatTheMachineHas) {
  const Machine none{}, one{.cuda_devices = 1, .cuda_build = true, .nvidia_driver = true};
  const Machine old_driver{.cuda_devices = 0, .cuda_build = true, .nvidia_driver = true};
  EXPECT_EQ(choose_device("auto", one).str(), "cuda:0");
  EXPECT_EQ(choose_device("auto", none).str(), "cpu");
  EXPECT_EQ(choose_device("auto", old_driver).str(), "cpu");
  EXPECT_EQ(choose_device("cuda", one).str(), "cuda:0");
  EXPECT_EQ(choose_device("cpu", one).str(), "cpu");
  const auto why = [](const char* name, const Machine& machine) {
    return message_of([&] { choose_device(name, machine); });
  };
  EXPECT_THAT(why("cuda", none), HasSubstr("no CUDA"));
  EXPECT_THAT(why("cuda", old_driver), HasSubstr("driver"));
  EXPECT_THAT(why("cuda:1", one), HasSubstr("1 CUDA devices"));
}

// The kernel lists the same instructions under the same names.
TEST(Placement, InstructionsOfTheCpuAreThoseOfTheKernelsList) {
  std::ifstream file("/proc/cpuinfo");
  std::string list;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("flags")) list = line + " ";
  }
  if (list.empty()) GTEST_SKIP() << "not an x86 processor with Linux";
  for (const char* name : {"avx2", "avx512_bf16", "amx_bf16"}) {
    EXPECT_EQ(cpu_has(name), list.find(concat(' ', name, ' ')) != std::string::npos) << name;
  }
  EXPECT_FALSE(cpu_has("no_such_instructions"));
}

TEST(Placement, UnusedGpuIsAnErrorInTheLog) {
  ::testing::internal::CaptureStderr();
  choose_device("auto", {.cuda_devices = 0, .cuda_build = true, .nvidia_driver = true});
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("NVIDIA's driver"));
  ::testing::internal::CaptureStderr();
  choose_device("auto", {.cuda_devices = 0, .cuda_build = false, .nvidia_driver = true});
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "") << "a CPU build was chosen on purpose";
}

TEST(ComputeCapability, GenerationsThatAreSlowInFloat16ComputeInFloat32) {
  for (const auto slow : {ComputeCapability{5, 2}, ComputeCapability{6, 1}}) {
    EXPECT_EQ(automatic_gpu_dtype(slow), c10::kFloat);
  }
  for (const auto fast : {ComputeCapability{6, 0}, ComputeCapability{7, 5}, ComputeCapability{8, 9}}) {
    EXPECT_EQ(automatic_gpu_dtype(fast), c10::kHalf);
  }
  EXPECT_EQ(automatic_gpu_dtype(std::nullopt), c10::kHalf);
}

TEST(ComputeCapability, FusedAttentionForBFloat16BeginsWithAmpere) {
  EXPECT_FALSE(has_fused_attention(c10::kBFloat16, ComputeCapability{7, 5}));
  EXPECT_TRUE(has_fused_attention(c10::kHalf, ComputeCapability{7, 5}));
  EXPECT_TRUE(has_fused_attention(c10::kBFloat16, ComputeCapability{8, 0}));
  EXPECT_TRUE(has_fused_attention(c10::kBFloat16, std::nullopt));
}

TEST(ComputeCapability, ACpuHasNone) {
  EXPECT_FALSE(compute_capability(c10::Device(c10::kCPU)));
}

}  // namespace
}  // namespace easel
