// Each fault that the rehearsal device is there to find, planted and found.
#include <ATen/TensorOperators.h>
#include <ATen/ops/add.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/Event.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <gmock/gmock.h>

#include "support/rehearsal/rehearsal_device.h"
#include "tensor/torch_errors.h"

namespace easel::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

template <class Work>
std::string error_of(const Work& work) {
  try {
    work();
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  return "no error";
}

class PlantedFaults : public ::testing::Test {
 protected:
  at::Tensor there(const at::Tensor& host) const { return host.to(device_.device()); }
  c10::impl::VirtualGuardImpl guard() const { return c10::impl::VirtualGuardImpl(c10::kPrivateUse1); }
  c10::Stream default_stream() const { return guard().getStream(device_.device()); }
  c10::Stream another_stream() const { return guard().getStreamFromGlobalPool(device_.device()); }
  static at::Tensor pinned(const at::Tensor& host) { return host.pin_memory(); }

  RehearsalDevice device_{0};
  const c10::InferenceMode inference_;
};

TEST_F(PlantedFaults, TensorOnTheWrongDevice) {
  const RehearsalDevice other(1);
  const auto here = at::ones({4}), there_too = at::ones({4}).to(other.device());
  EXPECT_NE(error_of([&] { there(here) + here; }), "no error");
  EXPECT_NE(error_of([&] { there(here) + there_too; }), "no error");
  EXPECT_NE(error_of([&] { at::cat(at::TensorList({there(here), here})); }), "no error");
  EXPECT_EQ(error_of([&] { there(here) + there(here); }), "no error");
}

TEST_F(PlantedFaults, DeviceThatIsNotCurrent) {
  const RehearsalDevice other(1);
  const auto x = at::ones({1, 1, 4, 4}).to(other.device());
  // libtorch chooses its kernel by the properties of the current device.
  const auto attend = [&] { at::scaled_dot_product_attention(x, x, x); };
  EXPECT_THAT(error_of(attend), HasSubstr("the current device is 0"));
  const c10::DeviceGuard current(other.device());
  EXPECT_EQ(error_of(attend), "no error");
}

TEST_F(PlantedFaults, PinnedCopyReadBeforeItsEvent) {
  const auto numbers = at::arange(1, 9, at::kFloat);
  const auto copy = there(numbers).to(at::kCPU, /*non_blocking=*/true);
  ASSERT_TRUE(copy.is_pinned()) << "otherwise a GPU would wait for the copy";
  EXPECT_FALSE(copy.equal(numbers));
  c10::Event event(c10::kPrivateUse1);
  event.record(default_stream());
  EXPECT_FALSE(event.query()) << "the device needs a moment";
  EXPECT_FALSE(copy.equal(numbers));
  event.synchronize();
  EXPECT_TRUE(copy.equal(numbers));
  EXPECT_EQ(device_.counts().event_waits, 1);
}

TEST_F(PlantedFaults, PinnedMemoryThatIsOverwrittenTooEarly) {
  const auto buffer = pinned(at::ones({4}));
  const auto late = buffer.to(device_.device(), /*non_blocking=*/true);
  buffer.fill_(7);
  EXPECT_TRUE(late.to(at::kCPU).equal(at::full({4}, 7.0f))) << "the device reads it when it comes to that";
  const auto waited = buffer.to(device_.device(), /*non_blocking=*/true);
  default_stream().synchronize();
  buffer.fill_(9);
  EXPECT_TRUE(waited.to(at::kCPU).equal(at::full({4}, 7.0f)));
}

TEST_F(PlantedFaults, ScalarThatIsReadWhileTheDeviceWorks) {
  const auto x = there(at::ones({4}));
  const auto sum = x.sum();
  const auto before = device_.counts().synchronizations;
  EXPECT_EQ(sum.item<float>(), 4);
  EXPECT_EQ(device_.counts().synchronizations, before + 1);
  x.to(at::kCPU);
  EXPECT_EQ(device_.counts().synchronizations, before + 2) << "a copy that blocks";
  there(at::ones({4}));
  EXPECT_EQ(device_.counts().synchronizations, before + 3) << "a copy from memory that is not pinned";
  pinned(at::ones({4})).to(device_.device(), /*non_blocking=*/true);
  (x * 2).to(at::kCPU, /*non_blocking=*/true);
  EXPECT_EQ(device_.counts().synchronizations, before + 3);
}

TEST_F(PlantedFaults, WorkOnTheDefaultStreamByTheLoader) {
  const NoWorkOnDefaultStream loader;
  EXPECT_THAT(error_of([&] { there(at::ones({4})); }), HasSubstr("default stream"));
  const c10::StreamGuard guard(another_stream());
  EXPECT_EQ(error_of([&] { there(at::ones({4})); }), "no error");
}

TEST_F(PlantedFaults, ResultOfAnotherStreamWithoutItsEvent) {
  at::Tensor x;
  c10::Event done(c10::kPrivateUse1);
  {
    const c10::StreamGuard guard(another_stream());
    x = pinned(at::ones({4})).to(device_.device(), /*non_blocking=*/true);
    done.record(guard.current_stream());
  }
  EXPECT_THAT(error_of([&] { x + 1; }), HasSubstr("without waiting for it"));
  done.block(default_stream());
  EXPECT_TRUE((x + 1).to(at::kCPU).equal(at::full({4}, 2.0f)));
}

TEST_F(PlantedFaults, MemoryThatIsOverwrittenWhileAnotherStreamReadsIt) {
  const auto x = there(at::ones({4}));  // blocks, so the host has seen it
  {
    const c10::StreamGuard guard(another_stream());
    x + 1;
  }
  EXPECT_THAT(error_of([&] { x.zero_(); }), HasSubstr("overwrites"));
}

TEST_F(PlantedFaults, MemoryThatIsFreedWhileAnotherStreamUsesIt) {
  const auto stream = another_stream();
  {
    const auto x = there(at::ones({4}));
    const c10::StreamGuard guard(stream);
    x + 1;
    stream.synchronize();
  }
  EXPECT_THAT(device_.violations(), IsEmpty()) << "the host has waited for the stream";
  {
    const auto x = there(at::ones({4}));
    const c10::StreamGuard guard(stream);
    x + 1;
  }
  EXPECT_THAT(device_.violations(), ElementsAre(HasSubstr("was freed while stream")));
  {
    const auto x = there(at::ones({4}));
    const c10::StreamGuard guard(stream);
    x + 1;
    x.record_stream(stream);
  }
  EXPECT_EQ(device_.violations().size(), 1u) << "the allocator waits for the stream";
}

TEST_F(PlantedFaults, LostDeviceThatIsUsedAgain) {
  const auto x = there(at::ones({4}));
  c10::Event event(c10::kPrivateUse1);
  event.record(default_stream());
  device_.lose();
  for (const std::function<void()>& use : std::initializer_list<std::function<void()>>{
           [&] { x + 1; }, [&] { x.to(at::kCPU); }, [&] { x.sum().item<float>(); }, [&] { event.synchronize(); },
           [&] { event.query(); }, [&] { there(at::ones({4})); }}) {
    try {
      with_torch_errors(use);
      ADD_FAILURE() << "a lost device was used";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kDeviceLost) << error.what();
    }
  }
  EXPECT_EQ(device_.uses_after_loss(), 6);
}

using PlantedFaultsDeathTest = PlantedFaults;

TEST_F(PlantedFaultsDeathTest, HostThatReadsTheDevicesMemory) {
  const auto x = there(at::ones({4}));
  EXPECT_DEATH(std::printf("%f", static_cast<double>(*x.const_data_ptr<float>())), "");
}

}  // namespace
}  // namespace easel::testing
