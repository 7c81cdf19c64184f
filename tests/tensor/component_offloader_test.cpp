#include "tensor/component_offloader.h"

#include <ATen/ops/arange.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace easel {
namespace {

/// Stands in for a device: copies in other memory, and a capacity.
struct FakeDevice {
  std::vector<at::Tensor> copies;
  std::size_t capacity = 100;

  ComponentOffloader::Copy copy() {
    return [this](const at::Tensor& host) {
      if (copies.size() == capacity) throw std::runtime_error("full");
      copies.push_back(host.clone());
      return copies.back();
    };
  }
};

TEST(ComponentOffloader, MovesTensorsInPlaceForAllHolders) {
  FakeDevice device;
  ComponentOffloader offloader(device.copy());
  const auto component = offloader.add();
  const auto weight = at::arange(6, at::kFloat).view({2, 3});
  const auto held_elsewhere = weight;
  const void* host = weight.const_data_ptr();
  component->add(weight);
  EXPECT_FALSE(component->resident());
  EXPECT_EQ(weight.const_data_ptr(), host);

  offloader.make_resident(component);
  EXPECT_TRUE(component->resident());
  ASSERT_EQ(device.copies.size(), 1u);
  EXPECT_EQ(held_elsewhere.const_data_ptr(), device.copies[0].const_data_ptr());
  EXPECT_TRUE(held_elsewhere.equal(at::arange(6, at::kFloat).view({2, 3})));
  offloader.make_resident(component);
  EXPECT_EQ(device.copies.size(), 1u) << "it was inside already";
}

TEST(ComponentOffloader, KeepsOneComponentResident) {
  FakeDevice device;
  ComponentOffloader offloader(device.copy());
  const auto a = offloader.add(), b = offloader.add();
  const auto in_a = at::arange(3, at::kFloat), in_b = at::arange(4, at::kFloat);
  const void* host = in_a.const_data_ptr();
  a->add(in_a);
  b->add(in_b);
  offloader.make_resident(a);
  offloader.make_resident(b);
  EXPECT_FALSE(a->resident());
  EXPECT_TRUE(b->resident());
  EXPECT_EQ(in_a.const_data_ptr(), host) << "what never changed need not be copied back";
  EXPECT_EQ(device.copies[0].use_count(), 1u) << "nothing of it stays on the device";
  offloader.make_resident(a);
  EXPECT_EQ(device.copies.size(), 3u);
  EXPECT_TRUE(in_a.equal(at::arange(3, at::kFloat)));
}

TEST(ComponentOffloader, ComponentThatDoesNotFitStaysOnHostAndMayRetry) {
  FakeDevice device;
  ComponentOffloader offloader(device.copy());
  const auto small = offloader.add(), large = offloader.add();
  const auto in_small = at::arange(3, at::kFloat);
  const std::vector<at::Tensor> in_large{at::arange(3, at::kFloat), at::arange(3, at::kFloat)};
  small->add(in_small);
  for (const auto& tensor : in_large) large->add(tensor);
  offloader.make_resident(small);
  device.capacity = 2;
  EXPECT_THROW(offloader.make_resident(large), std::runtime_error);
  EXPECT_FALSE(large->resident());
  EXPECT_FALSE(small->resident());
  EXPECT_EQ(device.copies[1].use_count(), 1u) << "the half that was there has left";
  device.capacity = 4;
  offloader.make_resident(large);
  EXPECT_TRUE(large->resident());
}

TEST(ComponentOffloader, ComponentMayBeDestroyedWhileResident) {
  FakeDevice device;
  ComponentOffloader offloader(device.copy());
  auto gone = offloader.add();
  gone->add(at::arange(3, at::kFloat));
  offloader.make_resident(gone);
  gone.reset();
  EXPECT_EQ(device.copies[0].use_count(), 1u);
  const auto next = offloader.add();
  offloader.make_resident(next);
  EXPECT_TRUE(next->resident());
}

}  // namespace
}  // namespace easel
