#include "support/counting_allocator.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <mutex>
#include <unordered_map>

namespace easel::testing {
namespace {

/// Passes on libtorch's own memory. Blocks that were allocated before counting began are not counted.
class CountingAllocator : public c10::Allocator {
 public:
  static CountingAllocator& instance() {
    static auto* allocator = new CountingAllocator;  // outlives every tensor
    return *allocator;
  }

  c10::DataPtr allocate(std::size_t bytes) override {
    void* memory = own_.raw_allocate(bytes);
    const std::lock_guard lock(mutex_);
    sizes_[memory] = static_cast<std::int64_t>(bytes);
    live_ += static_cast<std::int64_t>(bytes);
    peak_ = std::max(peak_, live_);
    return {memory, memory, &free_counted, c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free_counted; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { default_copy_data(to, from, bytes); }

  void install() {
    {
      const std::lock_guard lock(mutex_);
      live_ = peak_ = 0;
    }
    c10::SetCPUAllocator(this, /*priority=*/255);
  }
  std::int64_t remove() {
    c10::SetCPUAllocator(&own_, /*priority=*/255);
    const std::lock_guard lock(mutex_);
    return peak_;
  }

 private:
  static void free_counted(void* memory) {
    auto& self = instance();
    {
      const std::lock_guard lock(self.mutex_);
      const auto found = self.sizes_.find(memory);
      if (found != self.sizes_.end()) {
        self.live_ -= found->second;
        self.sizes_.erase(found);
      }
    }
    self.own_.raw_deallocate(memory);
  }

  c10::Allocator& own_ = *c10::GetDefaultCPUAllocator();
  std::mutex mutex_;  // guards what follows
  std::unordered_map<void*, std::int64_t> sizes_;
  std::int64_t live_ = 0;
  std::int64_t peak_ = 0;
};

}  // namespace

std::int64_t peak_allocated_bytes(const std::function<void()>& work) {
  auto& allocator = CountingAllocator::instance();
  allocator.install();
  try {
    work();
  } catch (...) {
    allocator.remove();
    throw;
  }
  return allocator.remove();
}

}  // namespace easel::testing
