#include "tensor/component_offloader.h"

#include <ATen/ops/arange.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

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

/// A component of three announced blocks, one that is not announced, and a tensor outside of blocks.
struct Streamed {
  explicit Streamed(ComponentOffloader& to) : offloader(to), component(to.add()) {
    for (int i = 0; i < 5; ++i) tensors.push_back(at::arange(4, at::kFloat).add(i));
    for (int i = 0; i < 3; ++i) {
      component->announce(name(i));
      component->add(tensors[static_cast<std::size_t>(i)], name(i));
    }
    component->add(tensors[3], "other.0");
    component->add(tensors[4]);
  }
  static std::string name(int block) { return "layers." + std::to_string(block); }
  void enter(int block) {
    offloader.make_resident(component, name(block));
    const auto index = static_cast<std::size_t>(block);
    EXPECT_NE(tensors[index].const_data_ptr(), host_of(index));
    for (std::size_t i = 0; i < 5; ++i)
      EXPECT_TRUE(tensors[i].equal(at::arange(4, at::kFloat).add(static_cast<int>(i))));
  }
  const void* host_of(std::size_t index) const { return hosts.at(index); }

  ComponentOffloader& offloader;
  std::shared_ptr<ComponentOffloader::Component> component;
  std::vector<at::Tensor> tensors;
  std::vector<const void*> hosts;
};

/// How many of the copies are still used.
std::size_t on_device(const FakeDevice& device) {
  std::size_t count = 0;
  for (const auto& copy : device.copies) count += copy.use_count() > 1 || copy.storage().use_count() > 1 ? 1 : 0;
  return count;
}

TEST(StreamedBlocks, AtMostTwoAreOnTheDeviceAndTheNextIsCopiedAhead) {
  FakeDevice device;
  ComponentOffloader offloader(device.copy(), [](std::int64_t bytes) { return bytes > 64; });
  Streamed streamed(offloader);
  for (const auto& tensor : streamed.tensors) streamed.hosts.push_back(tensor.const_data_ptr());
  offloader.make_resident(streamed.component);
  EXPECT_EQ(device.copies.size(), 2u) << "what is outside of announced blocks";
  for (int pass = 0; pass < 3; ++pass) {
    for (int block = 0; block < 3; ++block) {
      const auto before = device.copies.size();
      streamed.enter(block);
      EXPECT_LE(on_device(device), 4u);
      // Once the order is known, a block was copied while the block before it was in use, and the next one is now.
      if (3 * pass + block > 3) {
        EXPECT_EQ(device.copies.size(), before + 1);
      }
      if (pass > 1) {
        EXPECT_EQ(on_device(device), 4u);
      }
    }
  }
}

TEST(StreamedBlocks, AnotherOrderIsFollowed) {
  FakeDevice device;
  ComponentOffloader offloader(device.copy(), [](std::int64_t) { return true; });
  Streamed streamed(offloader);
  for (const auto& tensor : streamed.tensors) streamed.hosts.push_back(tensor.const_data_ptr());
  for (const int block : {0, 1, 2, 0, 2, 1, 1, 0, 0, 2, 1}) {
    streamed.enter(block);
    EXPECT_LE(on_device(device), 4u);
  }
  const auto other = offloader.add();
  offloader.make_resident(other);
  EXPECT_EQ(on_device(device), 0u);
}

TEST(StreamedBlocks, ComponentThatFitsIsResidentAsAWhole) {
  FakeDevice device;
  ComponentOffloader offloader(device.copy(), [](std::int64_t bytes) { return bytes > 80; });
  Streamed streamed(offloader);
  for (const auto& tensor : streamed.tensors) streamed.hosts.push_back(tensor.const_data_ptr());
  for (const int block : {0, 1, 2, 0, 1, 2}) streamed.enter(block);
  EXPECT_EQ(device.copies.size(), 5u);
}

TEST(StreamedBlocks, BlockIsTheNameUpToTheFirstNumber) {
  EXPECT_EQ(numbered_block_of("layers.3.attention.to_q.weight"), "layers.3");
  EXPECT_EQ(numbered_block_of("encoder.block.12.layer.0.SelfAttention.q.weight"), "encoder.block.12");
  EXPECT_EQ(numbered_block_of("layers.3"), "layers.3");
  EXPECT_EQ(numbered_block_of("all_final_layer.2-1.linear.weight"), "");
  EXPECT_EQ(numbered_block_of("conv_in.weight"), "");
  EXPECT_EQ(numbered_block_of("0.weight"), "");
  EXPECT_EQ(numbered_block_of(""), "");
}

}  // namespace
}  // namespace easel
