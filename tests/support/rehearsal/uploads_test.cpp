// What easel copies to a device, and what of the device's work it waits for.
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/StreamGuard.h>
#include <gmock/gmock.h>

#include "easel/noise.h"
#include "support/rehearsal/rehearsal_device.h"
#include "tensor/component_offloader.h"
#include "tensor/pinned_arena.h"
#include "tensor/staged_upload.h"
#include "tensor/upload.h"

namespace easel::testing {
namespace {

using ::testing::IsEmpty;

class Uploads : public ::testing::Test {
 protected:
  RehearsalDevice device_{1};
  const c10::InferenceMode inference_;
  const c10::DeviceGuard guard_{device_.device()};
};

TEST_F(Uploads, RequestsDataDoesNotWaitForTheDevice) {
  const auto host = at::randn({3, 5});
  const auto placed = upload(host, device_.device(), at::kHalf);
  const auto noise = NoiseSource(7).normal_like(placed);
  EXPECT_EQ(device_.counts().synchronizations, 0);
  EXPECT_TRUE(placed.to(at::kCPU).equal(host.to(at::kHalf)));
  EXPECT_TRUE(noise.to(at::kCPU).equal(NoiseSource(7).normal({3, 5}).to(at::kHalf)));
}

TEST_F(Uploads, StagedUploadIsCompleteAndWaitsOnlyForItsOwnStream) {
  const auto large = at::randn({3 << 20, 5});  // 60 MiB: more than one buffer
  const auto kernel = at::randn({6, 4, 3, 3});
  std::vector<at::Tensor> found;
  {
    const NoWorkOnDefaultStream loader;
    StagedUpload staged(device_.device());
    const c10::StreamGuard guard(staged.stream());
    found = {staged.copy(large, at::kFloat, std::nullopt), staged.copy(large.t(), at::kHalf, std::nullopt),
             staged.copy(kernel, at::kHalf, at::MemoryFormat::ChannelsLast),
             staged.copy(at::ones({0, 3}), at::kFloat, std::nullopt),
             staged.copy(at::ones({}), at::kFloat, std::nullopt)};
    staged.finish();
  }
  EXPECT_EQ(device_.counts_of_default_stream().kernels, 0);
  EXPECT_EQ(device_.counts_of_default_stream().synchronizations, 0);
  EXPECT_TRUE(found[2].is_contiguous(at::MemoryFormat::ChannelsLast));
  const std::vector<at::Tensor> wanted = {large, large.t().to(at::kHalf), kernel.to(at::kHalf), at::ones({0, 3}),
                                          at::ones({})};
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_TRUE(found[i].to(at::kCPU).equal(wanted[i])) << i;
  EXPECT_TRUE((found[0] * 1).to(at::kCPU).equal(large)) << "the default stream may use it after finish()";
  found.clear();
  EXPECT_THAT(device_.violations(), IsEmpty());
}

TEST_F(Uploads, ArenaKeepsLayoutInPinnedMemory) {
  PinnedArena arena;
  const auto kernel = at::randn({6, 4, 3, 3}).contiguous(at::MemoryFormat::ChannelsLast);
  for (const auto& host :
       {at::arange(5, at::kFloat), kernel, at::randn({1 << 24}).to(at::kHalf), at::ones({2 << 24})}) {
    const auto copy = arena.copy(host);
    EXPECT_TRUE(copy.is_pinned());
    EXPECT_TRUE(copy.equal(host));
    EXPECT_EQ(copy.strides(), host.strides());
  }
}

TEST_F(Uploads, ComponentsInPinnedMemoryTakeTurnsWithoutWaiting) {
  PinnedArena arena;
  ComponentOffloader offloader(device_.device());
  const auto first = offloader.add(), second = offloader.add();
  const auto a = arena.copy(at::arange(6, at::kFloat)), b = arena.copy(at::arange(6, at::kFloat) + 1);
  first->add(a);
  second->add(b);
  offloader.make_resident(first);
  const auto twice = a * 2;
  offloader.make_resident(second);
  const auto thrice = b * 3;
  EXPECT_EQ(device_.counts().synchronizations, 0);
  EXPECT_TRUE(a.is_cpu());
  EXPECT_TRUE(twice.to(at::kCPU).equal(at::arange(6, at::kFloat) * 2));
  EXPECT_TRUE(thrice.to(at::kCPU).equal((at::arange(6, at::kFloat) + 1) * 3));
}

}  // namespace
}  // namespace easel::testing
