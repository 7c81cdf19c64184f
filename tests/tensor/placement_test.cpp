#include "tensor/placement.h"

#include <ATen/Context.h>
#include <gtest/gtest.h>

#include "easel/error.h"

namespace easel {
namespace {

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

}  // namespace
}  // namespace easel
