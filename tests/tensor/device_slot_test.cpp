#include "tensor/device_slot.h"

#include <ATen/ops/arange.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace easel {
namespace {

/// Stands in for a device: copies in other memory, and a capacity.
struct PretendDevice {
  std::vector<at::Tensor> copies;
  std::size_t capacity = 100;

  DeviceSlot::Copy copy() {
    return [this](const at::Tensor& host) {
      if (copies.size() == capacity) throw std::runtime_error("full");
      copies.push_back(host.clone());
      return copies.back();
    };
  }
};

TEST(DeviceSlot, MovesAComponentInPlaceForEveryoneWhoHoldsIt) {
  PretendDevice device;
  DeviceSlot slot(device.copy());
  const auto component = slot.add();
  const auto weight = at::arange(6, at::kFloat).view({2, 3});
  const auto held_elsewhere = weight;
  const void* host = weight.const_data_ptr();
  component->add(weight);
  EXPECT_FALSE(component->inside());
  EXPECT_EQ(weight.const_data_ptr(), host);

  slot.enter(component);
  EXPECT_TRUE(component->inside());
  ASSERT_EQ(device.copies.size(), 1u);
  EXPECT_EQ(held_elsewhere.const_data_ptr(), device.copies[0].const_data_ptr());
  EXPECT_TRUE(held_elsewhere.equal(at::arange(6, at::kFloat).view({2, 3})));
  slot.enter(component);
  EXPECT_EQ(device.copies.size(), 1u) << "it was inside already";
}

TEST(DeviceSlot, OneComponentAtATime) {
  PretendDevice device;
  DeviceSlot slot(device.copy());
  const auto a = slot.add(), b = slot.add();
  const auto in_a = at::arange(3, at::kFloat), in_b = at::arange(4, at::kFloat);
  const void* host = in_a.const_data_ptr();
  a->add(in_a);
  b->add(in_b);
  slot.enter(a);
  slot.enter(b);
  EXPECT_FALSE(a->inside());
  EXPECT_TRUE(b->inside());
  EXPECT_EQ(in_a.const_data_ptr(), host) << "what never changed need not be copied back";
  EXPECT_EQ(device.copies[0].use_count(), 1u) << "nothing of it stays on the device";
  slot.enter(a);
  EXPECT_EQ(device.copies.size(), 3u);
  EXPECT_TRUE(in_a.equal(at::arange(3, at::kFloat)));
}

TEST(DeviceSlot, AComponentThatDoesNotFitIsOutsideAndCanTryAgain) {
  PretendDevice device;
  DeviceSlot slot(device.copy());
  const auto small = slot.add(), large = slot.add();
  const auto in_small = at::arange(3, at::kFloat);
  const std::vector<at::Tensor> in_large{at::arange(3, at::kFloat), at::arange(3, at::kFloat)};
  small->add(in_small);
  for (const auto& tensor : in_large) large->add(tensor);
  slot.enter(small);
  device.capacity = 2;
  EXPECT_THROW(slot.enter(large), std::runtime_error);
  EXPECT_FALSE(large->inside());
  EXPECT_FALSE(small->inside());
  EXPECT_EQ(device.copies[1].use_count(), 1u) << "the half that was there has left";
  device.capacity = 4;
  slot.enter(large);
  EXPECT_TRUE(large->inside());
}

TEST(DeviceSlot, AComponentMayEndWhileItIsInside) {
  PretendDevice device;
  DeviceSlot slot(device.copy());
  auto gone = slot.add();
  gone->add(at::arange(3, at::kFloat));
  slot.enter(gone);
  gone.reset();
  EXPECT_EQ(device.copies[0].use_count(), 1u);
  const auto next = slot.add();
  slot.enter(next);
  EXPECT_TRUE(next->inside());
}

}  // namespace
}  // namespace easel
