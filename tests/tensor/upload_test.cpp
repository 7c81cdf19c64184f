#include "tensor/upload.h"

#include <ATen/ops/arange.h>
#include <gtest/gtest.h>

namespace easel {
namespace {

TEST(Upload, ToCpuOnlyConvertsDtype) {
  const auto host = at::arange(6, at::kFloat).view({2, 3});
  EXPECT_TRUE(upload(host, at::kCPU, at::kFloat).is_same(host));
  EXPECT_TRUE(upload(host, at::kCPU, at::kHalf).equal(host.to(at::kHalf)));
}

}  // namespace
}  // namespace easel
