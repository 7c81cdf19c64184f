// The rehearsal device computes as the CPU does, and keeps to what a GPU promises and no more.
#include "support/rehearsal/rehearsal_device.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>

#include "easel/error.h"
#include "tensor/free_memory.h"
#include "tensor/placement.h"
#include "tensor/try_device.h"

namespace easel::testing {
namespace {

using ::testing::IsEmpty;

class Rehearsal : public ::testing::Test {
 protected:
  at::Tensor there(const at::Tensor& host) const { return host.to(device_.device()); }
  static at::Tensor here(const at::Tensor& tensor) { return tensor.to(at::kCPU); }

  const RehearsalDevice device_{0};
  const c10::InferenceMode inference_;
};

TEST_F(Rehearsal, ComputesWhatTheCpuComputes) {
  const auto x = at::randn({2, 8, 6, 6}), kernel = at::randn({4, 8, 3, 3}), bias = at::randn({4});
  const auto rows = at::randn({2, 5, 8}), weight = at::randn({8, 8}), scale = at::randn({8});
  const auto heads = rows.view({2, 5, 2, 4}).transpose(1, 2);
  const auto expect_equal = [&](const auto& compute) {
    const auto wanted = compute([](const at::Tensor& tensor) { return tensor; });
    const auto found = compute([&](const at::Tensor& tensor) { return there(tensor); });
    EXPECT_EQ(found.device(), device_.device());
    EXPECT_TRUE(here(found).equal(wanted));
    EXPECT_EQ(found.strides(), wanted.strides());
  };
  expect_equal([&](const auto& on) { return at::conv2d(on(x), on(kernel), on(bias), 1, 1); });
  expect_equal([&](const auto& on) { return at::group_norm(on(x), 2, on(scale), on(scale)); });
  expect_equal([&](const auto& on) { return at::layer_norm(on(rows), {8}, on(scale), on(scale)); });
  expect_equal([&](const auto& on) { return at::linear(on(rows), on(weight), on(scale)); });
  expect_equal([&](const auto& on) { return at::scaled_dot_product_attention(on(heads), on(heads), on(heads)); });
  expect_equal([&](const auto& on) { return at::softmax(on(rows), -1).to(at::kHalf); });
  expect_equal([&](const auto& on) { return at::cat(at::TensorList({on(rows), on(rows)}), 1); });
  expect_equal([&](const auto& on) { return (on(x) * 0.5 + 1).clamp(0, 1).permute({0, 2, 3, 1}).contiguous(); });
  expect_equal([&](const auto& on) { return on(x).contiguous(at::MemoryFormat::ChannelsLast); });
  expect_equal([&](const auto& on) {
    auto changed = on(x).clone();
    changed.narrow(1, 2, 3).mul_(2).add_(on(x).narrow(1, 0, 3));
    changed.select(0, 1).zero_();
    return changed;
  });
  expect_equal([&](const auto& on) { return at::stack({at::isfinite(on(x)).all(), on(x).eq(0).any()}); });
}

TEST_F(Rehearsal, ScalarsOnTheCpuAreAllowed) {
  const auto factor = at::ones({}, at::kDouble) * 3;
  EXPECT_TRUE(here(there(at::ones({4})) * factor).equal(at::ones({4}) * 3));
}

TEST_F(Rehearsal, MemoryIsLimitedAndKeptUntilItIsReleased) {
  RehearsalDevice other(1);
  const auto before = free_memory(device_.device());
  other.limit_memory(1 << 20);
  EXPECT_THROW(at::empty({1 << 20}, at::TensorOptions().dtype(at::kFloat).device(other.device())),
               c10::OutOfMemoryError);
  {
    const auto block = at::empty({1 << 19}, at::TensorOptions().dtype(at::kByte).device(other.device()));
    EXPECT_EQ(other.allocated_bytes(), 1 << 19);
    EXPECT_EQ(free_memory(other.device()), 1 << 19);
  }
  EXPECT_EQ(other.reserved_bytes(), 1 << 19) << "libtorch keeps it";
  EXPECT_EQ(free_memory(other.device()), 1 << 20) << "new tensors can have it";
  release_cached_memory(other.device());
  EXPECT_EQ(other.reserved_bytes(), 0);
  EXPECT_EQ(other.cache_releases(), 1);
  EXPECT_EQ(free_memory(device_.device()), before) << "devices have memory of their own";
}

TEST_F(Rehearsal, CountsOfTheAllocatorAreThoseOfTheDevice) {
  RehearsalDevice other(1);
  other.limit_memory(1000);
  const auto block = at::empty({300}, at::TensorOptions().dtype(at::kByte).device(other.device()));
  const auto counts = allocator_counts(other.device());
  EXPECT_EQ(counts.allocated, 300);
  EXPECT_GE(counts.reserved, counts.allocated);
  EXPECT_EQ(counts.free, 700);
  EXPECT_EQ(counts.total, 1000);
}

TEST_F(Rehearsal, DefaultBudgetLeavesRoomForWorkspaces) {
  RehearsalDevice other(1);
  other.limit_memory(std::int64_t{24} << 30);
  EXPECT_EQ(default_memory_budget(other.device()), (std::int64_t{24} << 30) - (std::int64_t{3} << 29));
  other.limit_memory(std::int64_t{2} << 30);
  EXPECT_EQ(default_memory_budget(other.device()), std::int64_t{1} << 30) << "at least half";
  EXPECT_EQ(default_memory_budget(c10::Device(c10::kCPU)), 0) << "no limit";
}

TEST_F(Rehearsal, HasANameOnlyInProgramsThatRegisterIt) {
  EXPECT_EQ(make_placement("rehearsal:1", "auto").device, RehearsalDevice(1).device());
  EXPECT_EQ(make_placement("rehearsal", "float32").device, device_.device());
}

TEST_F(Rehearsal, DeviceThatComputesPassesTheTrial) {
  EXPECT_NO_THROW(try_device(device_.device()));
  EXPECT_NO_THROW(try_device(RehearsalDevice(1).device())) << "which is not the current device";
  RehearsalDevice broken(1);
  broken.lose();
  try {
    try_device(broken.device());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("rehearsal:1 does not compute"));
  }
  EXPECT_THAT(device_.violations(), IsEmpty());
}

}  // namespace
}  // namespace easel::testing
