#include "tensor/free_memory.h"

#include <c10/core/CachingDeviceAllocator.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

namespace easel {
namespace {

constexpr std::int64_t kUnknown = std::numeric_limits<std::int64_t>::max();

std::optional<std::int64_t> number_in(const char* path) {
  std::ifstream file(path);
  std::int64_t number = 0;
  if (file >> number) return number;
  return std::nullopt;  // no such file, or the word "max"
}

/// The number after a word at the beginning of a line.
std::optional<std::int64_t> number_after(const char* path, const std::string& word) {
  std::ifstream file(path);
  std::string key;
  for (std::int64_t number = 0; file >> key;) {
    if (key == word && file >> number) return number;
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return std::nullopt;
}

std::int64_t free_host_memory() {
  constexpr std::int64_t kKibibyte = 1024;
  const auto available = number_after("/proc/meminfo", "MemAvailable:");
  std::int64_t free = available ? *available * kKibibyte : kUnknown;
  // Containers see their own control group here; pages of files can leave.
  const auto limit = number_in("/sys/fs/cgroup/memory.max"), used = number_in("/sys/fs/cgroup/memory.current");
  const auto files = number_after("/sys/fs/cgroup/memory.stat", "inactive_file");
  if (limit && used) free = std::min(free, std::max<std::int64_t>(0, *limit - *used + files.value_or(0)));
  return free;
}

}  // namespace

std::int64_t free_memory(c10::Device device) {
  if (device.is_cpu()) return free_host_memory();
  auto* allocator = c10::getDeviceAllocator(device.type());
  constexpr std::size_t kAllPools = 0;
  const auto stats = allocator->getDeviceStats(device.index());
  const auto kept = stats.reserved_bytes[kAllPools].current - stats.allocated_bytes[kAllPools].current;
  return static_cast<std::int64_t>(allocator->getMemoryInfo(device.index()).first) + kept;
}

}  // namespace easel
