// What libtorch asks of a device: allocators, guards, hooks.
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/Allocator.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/DeviceType.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <cstdlib>
#include <utility>

#include "core/text.h"
#include "support/rehearsal/kernels.h"
#include "support/rehearsal/rehearsal_device.h"
#include "support/rehearsal/runtime.h"

namespace easel::testing {
namespace rehearsal {
namespace {

c10::Device device_at(int index) {
  return c10::Device(c10::kPrivateUse1, static_cast<c10::DeviceIndex>(index));
}

c10::Stream to_stream(int index) {
  return c10::Stream(c10::Stream::UNSAFE, device_at(index / kStreamsPerDevice), index % kStreamsPerDevice);
}

int to_index(const c10::Stream& stream) {
  return stream.device_index() * kStreamsPerDevice + static_cast<int>(stream.id());
}

void free_block(void* context) {
  const std::unique_ptr<std::shared_ptr<Block>> block(static_cast<std::shared_ptr<Block>*>(context));
}

class BlockAllocator final : public c10::DeviceAllocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    auto& runtime = Runtime::get();
    const auto lock = runtime.lock();
    const auto index = Runtime::current_device();
    runtime.require_alive(index);
    auto& state = runtime.device(index);
    const auto wanted = static_cast<std::int64_t>(bytes);
    if (state.allocated + wanted > state.limit || wanted > state.allocation_limit) {
      ++state.failed_allocations;
      throw c10::OutOfMemoryError({__func__, __FILE__, __LINE__},
                                  concat("rehearsal out of memory. Tried to allocate ", wanted, " bytes. ",
                                         state.allocated, " of ", state.limit, " are in use"));
    }
    state.allocated += wanted;
    state.cached -= std::min(state.cached, wanted);
    auto* const block = new std::shared_ptr<Block>(std::make_shared<Block>(index, bytes));
    return {(*block)->address, block, &free_block, device_at(index)};
  }
  void copy_data(void*, const void*, std::size_t) const override {
    TORCH_CHECK(false, "rehearsal: the host copies memory of the device");
  }
  bool initialized() override { return true; }
  void emptyCache(c10::MempoolId_t) override {
    auto& runtime = Runtime::get();
    const auto lock = runtime.lock();
    for (int index = 0; index < kDevices; ++index) {
      runtime.device(index).cached = 0;
      ++runtime.device(index).cache_releases;
    }
  }
  void recordStream(const c10::DataPtr&, c10::Stream) override {}
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex index) override {
    auto& runtime = Runtime::get();
    const auto lock = runtime.lock();
    const auto& state = runtime.device(index);
    c10::CachingDeviceAllocator::DeviceStats stats;
    stats.allocated_bytes[0].current = state.allocated;
    stats.reserved_bytes[0].current = state.allocated + state.cached;
    stats.num_ooms = state.failed_allocations;
    return stats;
  }
  void resetAccumulatedStats(c10::DeviceIndex) override {}
  void resetPeakStats(c10::DeviceIndex) override {}
  std::pair<std::size_t, std::size_t> getMemoryInfo(c10::DeviceIndex index) override {
    auto& runtime = Runtime::get();
    const auto lock = runtime.lock();
    const auto& state = runtime.device(index);
    const auto used = std::min(state.allocated + state.cached, state.limit);
    return {static_cast<std::size_t>(state.limit - used), static_cast<std::size_t>(state.limit)};
  }
};

void free_pinned(void* memory) {
  auto& runtime = Runtime::get();
  const auto lock = runtime.lock();
  runtime.pinned.erase(static_cast<char*>(memory));
  std::free(memory);
}

class PinnedAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    auto& runtime = Runtime::get();
    const auto lock = runtime.lock();
    auto* const memory = static_cast<char*>(std::malloc(bytes + 1));
    runtime.pinned[memory] = bytes + 1;
    return {memory, memory, &free_pinned, c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free_pinned; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { default_copy_data(to, from, bytes); }
};

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return c10::kPrivateUse1; }
  c10::Device exchangeDevice(c10::Device device) const override {
    const auto before = getDevice();
    setDevice(device);
    return before;
  }
  c10::Device getDevice() const override { return device_at(Runtime::current_device()); }
  void setDevice(c10::Device device) const override { Runtime::set_current_device(device.index()); }
  void uncheckedSetDevice(c10::Device device) const noexcept override { Runtime::set_current_device(device.index()); }
  c10::Stream getStream(c10::Device device) const override {
    return to_stream(Runtime::current_stream(device.index()));
  }
  c10::Stream getDefaultStream(c10::Device device) const override {
    return to_stream(device.index() * kStreamsPerDevice);
  }
  c10::Stream getStreamFromGlobalPool(c10::Device device, bool) const override {
    auto& runtime = Runtime::get();
    const auto lock = runtime.lock();
    return to_stream(runtime.next_stream(device.index()));
  }
  c10::Stream exchangeStream(c10::Stream stream) const override {
    const auto before = to_stream(Runtime::current_stream(stream.device_index()));
    Runtime::set_current_stream(to_index(stream));
    return before;
  }
  c10::DeviceIndex deviceCount() const noexcept override { return kDevices; }

  void record(void** event, const c10::Stream& stream, c10::DeviceIndex, c10::EventFlag) const override {
    auto& runtime = Runtime::get();
    const auto lock = runtime.lock();
    if (*event == nullptr) *event = new Event;
    runtime.record(*static_cast<Event*>(*event), to_index(stream));
  }
  void block(void* event, const c10::Stream& stream) const override {
    auto& runtime = Runtime::get();
    const auto lock = runtime.lock();
    if (event != nullptr) runtime.wait(*static_cast<Event*>(event), to_index(stream));
  }
  bool queryEvent(void* event) const override {
    auto& runtime = Runtime::get();
    const auto lock = runtime.lock();
    return event == nullptr || runtime.query(*static_cast<Event*>(event));
  }
  void synchronizeEvent(void* event) const override {
    auto& runtime = Runtime::get();
    const auto lock = runtime.lock();
    if (event != nullptr) runtime.wait_on_host(*static_cast<Event*>(event));
  }
  void destroyEvent(void* event, c10::DeviceIndex) const noexcept override { delete static_cast<Event*>(event); }
  bool queryStream(const c10::Stream&) const override { return false; }
  void synchronizeStream(const c10::Stream& stream) const override {
    auto& runtime = Runtime::get();
    const auto lock = runtime.lock();
    runtime.synchronize(to_index(stream));
  }
  void synchronizeDevice(c10::DeviceIndex index) const override {
    auto& runtime = Runtime::get();
    const auto lock = runtime.lock();
    for (int i = 0; i < kStreamsPerDevice; ++i) runtime.synchronize(index * kStreamsPerDevice + i);
  }
};

struct Hooks final : at::PrivateUse1HooksInterface {
  explicit Hooks(c10::Allocator& pinned) : pinned_(pinned) {}
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return kDevices; }
  c10::DeviceIndex getCurrentDevice() const override {
    return static_cast<c10::DeviceIndex>(Runtime::current_device());
  }
  void setCurrentDevice(c10::DeviceIndex index) const override { Runtime::set_current_device(index); }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex index) const override {
    const auto before = getCurrentDevice();
    Runtime::set_current_device(index);
    return before;
  }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex index) const override { return exchangeDevice(index); }
  bool isPinnedPtr(const void* data) const override {
    auto& runtime = Runtime::get();
    const auto lock = runtime.lock();
    return runtime.is_pinned(data);
  }
  c10::Allocator* getPinnedMemoryAllocator() const override { return &pinned_; }

 private:
  c10::Allocator& pinned_;
};

void install() {
  c10::register_privateuse1_backend("rehearsal");
  c10::SetAllocator(c10::kPrivateUse1, new BlockAllocator);
  c10::impl::registerDeviceGuard(c10::kPrivateUse1, new Guard);
  at::RegisterPrivateUse1HooksInterface(new Hooks(*new PinnedAllocator));
  register_kernels();
}

void reset(int index) {
  auto& runtime = Runtime::get();
  const auto lock = runtime.lock();
  auto& state = runtime.device(index);
  const auto allocated = state.allocated;
  state = {};
  state.allocated = allocated;
  for (int i = 0; i < kStreamsPerDevice; ++i) {
    runtime.synchronize(index * kStreamsPerDevice + i);
    runtime.counts(index * kStreamsPerDevice + i) = {};
  }
}

}  // namespace
}  // namespace rehearsal

using rehearsal::kStreamsPerDevice;
using rehearsal::Runtime;

void install_rehearsal_device() {
  static const bool once = (rehearsal::install(), true);
  static_cast<void>(once);
}

RehearsalDevice::RehearsalDevice(int index) : index_(index) {
  install_rehearsal_device();
  rehearsal::reset(index);
}

RehearsalDevice::~RehearsalDevice() {
  rehearsal::reset(index_);
}

c10::Device RehearsalDevice::device() const {
  return rehearsal::device_at(index_);
}

RehearsalCounts RehearsalDevice::counts() const {
  auto& runtime = Runtime::get();
  const auto lock = runtime.lock();
  RehearsalCounts all;
  for (int i = 0; i < kStreamsPerDevice; ++i) {
    const auto& each = runtime.counts(index_ * kStreamsPerDevice + i);
    all.kernels += each.kernels;
    all.synchronizations += each.synchronizations;
    all.event_waits += each.event_waits;
  }
  return all;
}

RehearsalCounts RehearsalDevice::counts_of_default_stream() const {
  auto& runtime = Runtime::get();
  const auto lock = runtime.lock();
  return runtime.counts(index_ * kStreamsPerDevice);
}

std::int64_t RehearsalDevice::allocated_bytes() const {
  auto& runtime = Runtime::get();
  const auto lock = runtime.lock();
  return runtime.device(index_).allocated;
}

std::int64_t RehearsalDevice::reserved_bytes() const {
  auto& runtime = Runtime::get();
  const auto lock = runtime.lock();
  return runtime.device(index_).allocated + runtime.device(index_).cached;
}

std::int64_t RehearsalDevice::cache_releases() const {
  auto& runtime = Runtime::get();
  const auto lock = runtime.lock();
  return runtime.device(index_).cache_releases;
}

std::int64_t RehearsalDevice::uses_after_loss() const {
  auto& runtime = Runtime::get();
  const auto lock = runtime.lock();
  return runtime.device(index_).uses_after_loss;
}

std::vector<std::string> RehearsalDevice::violations() const {
  auto& runtime = Runtime::get();
  const auto lock = runtime.lock();
  return runtime.device(index_).violations;
}

void RehearsalDevice::limit_memory(std::int64_t bytes) {
  auto& runtime = Runtime::get();
  const auto lock = runtime.lock();
  runtime.device(index_).limit = bytes;
}

void RehearsalDevice::limit_allocation(std::int64_t bytes) {
  auto& runtime = Runtime::get();
  const auto lock = runtime.lock();
  runtime.device(index_).allocation_limit = bytes;
}

std::int64_t RehearsalDevice::failed_allocations() const {
  auto& runtime = Runtime::get();
  const auto lock = runtime.lock();
  return runtime.device(index_).failed_allocations;
}

void RehearsalDevice::lose() {
  auto& runtime = Runtime::get();
  const auto lock = runtime.lock();
  runtime.device(index_).lost = true;
}

void RehearsalDevice::lose_after(std::int64_t kernels) {
  auto& runtime = Runtime::get();
  const auto lock = runtime.lock();
  runtime.device(index_).lost_after = kernels;
}

NoWorkOnDefaultStream::NoWorkOnDefaultStream() : before_(Runtime::default_stream_forbidden()) {
  Runtime::forbid_default_stream(true);
}

NoWorkOnDefaultStream::~NoWorkOnDefaultStream() {
  Runtime::forbid_default_stream(before_);
}

}  // namespace easel::testing
