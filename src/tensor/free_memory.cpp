#include "tensor/free_memory.h"

#include <c10/core/CachingDeviceAllocator.h>

#include <algorithm>
#include <exception>
#include <fstream>
#include <iterator>
#include <limits>
#include <optional>
#include <sstream>
#include <string>

// jemalloc's, where the program is linked with it; else null.
extern "C" int mallctl(const char* name, void* old, std::size_t* old_length, void* value, std::size_t length)
    __attribute__((weak));

namespace easel {
namespace {

constexpr std::int64_t kUnknown = std::numeric_limits<std::int64_t>::max();

std::optional<std::int64_t> read_number(const std::string& path) {
  std::ifstream file(path);
  std::int64_t number = 0;
  if (file >> number) return number;
  return std::nullopt;  // no such file, or the word "max"
}

/// The number after a word at the beginning of a line.
std::optional<std::int64_t> read_field(const std::string& path, const std::string& word) {
  std::ifstream file(path);
  std::string key;
  for (std::int64_t number = 0; file >> key;) {
    if (key == word && file >> number) return number;
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return std::nullopt;
}

/// Names of a control group's files, which the two versions call differently.
struct CgroupFiles {
  const char *limit, *used, *inactive_file;
};
constexpr CgroupFiles kVersion2{"/memory.max", "/memory.current", "inactive_file"};
constexpr CgroupFiles kVersion1{"/memory.limit_in_bytes", "/memory.usage_in_bytes", "total_inactive_file"};

std::int64_t free_in_cgroup(const std::string& folder, const CgroupFiles& files) {
  const auto limit = read_number(folder + files.limit), used = read_number(folder + files.used);
  if (!limit || !used) return kUnknown;
  const auto pages =
      read_field(folder + "/memory.stat", files.inactive_file);  // pages of files, which the kernel can drop
  return std::max<std::int64_t>(0, *limit - *used + pages.value_or(0));
}

std::int64_t limit_of_cgroup(const std::string& folder, const CgroupFiles& files) {
  return read_number(folder + files.limit).value_or(kUnknown);
}

using CgroupBytes = std::int64_t (*)(const std::string& folder, const CgroupFiles& files);

/// The least that a group and its ancestors leave. If the mount shows a container's own group as its root, the path
/// does not exist below it and only the root counts.
std::int64_t least_of_ancestors(CgroupBytes of, const std::string& mount, std::string path, const CgroupFiles& files) {
  auto least = of(mount, files);
  for (; path.size() > 1; path.resize(path.rfind('/'))) least = std::min(least, of(mount + path, files));
  return least;
}

std::int64_t least_of_cgroups(CgroupBytes of, const std::string& mount, const std::string& processes) {
  auto least = kUnknown;
  std::istringstream lines(processes);
  for (std::string line; std::getline(lines, line);) {  // "4:cpu,memory:/a/b" in version 1, "0::/a/b" in version 2
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const auto controllers = "," + line.substr(first + 1, second - first - 1) + ",", path = line.substr(second + 1);
    if (controllers == ",,") least = std::min(least, least_of_ancestors(of, mount, path, kVersion2));
    if (controllers.find(",memory,") == std::string::npos) continue;
    least = std::min(least, least_of_ancestors(of, mount + "/memory", path, kVersion1));
  }
  return least;
}

constexpr char kCgroupMount[] = "/sys/fs/cgroup";
constexpr std::int64_t kKibibyte = 1024;

std::string own_cgroups() {
  std::ifstream file("/proc/self/cgroup");
  return {std::istreambuf_iterator<char>(file), {}};
}

std::int64_t available_host_memory() {
  const auto available = read_field("/proc/meminfo", "MemAvailable:");
  return std::min(available ? *available * kKibibyte : kUnknown, free_memory_in_cgroups(kCgroupMount, own_cgroups()));
}

std::int64_t free_host_memory(std::int64_t wanted) {
  const auto free = available_host_memory();
  if (free >= wanted || mallctl == nullptr) return free;
  release_cached_host_memory();
  return available_host_memory();
}

}  // namespace

void release_cached_host_memory() {
  if (mallctl == nullptr) return;
  mallctl("arena.4096.purge", nullptr, nullptr, nullptr, 0);  // 4096 is all arenas (MALLCTL_ARENAS_ALL)
}

AllocatorCounts allocator_counts(c10::Device device) {
  constexpr std::size_t kAllPools = 0;
  auto* const allocator = c10::getDeviceAllocator(device.type());
  const auto stats = allocator->getDeviceStats(device.index());
  const auto [free, total] = allocator->getMemoryInfo(device.index());
  return {.allocated = stats.allocated_bytes[kAllPools].current,
          .reserved = stats.reserved_bytes[kAllPools].current,
          .free = static_cast<std::int64_t>(free),
          .total = static_cast<std::int64_t>(total),
          .out_of_memory = stats.num_ooms,
          .retries = stats.num_alloc_retries};
}

std::int64_t default_memory_budget(c10::Device device) {
  if (device.is_cpu()) return 0;
  constexpr std::int64_t kKept = std::int64_t{3} << 29;
  const auto total = allocator_counts(device).total;
  return std::max(total - kKept, total / 2);
}

void release_cached_memory(c10::Device device) noexcept {
  try {
    release_cached_host_memory();
    if (!device.is_cpu()) c10::getDeviceAllocator(device.type())->emptyCache();
  } catch (const std::exception&) {
    // A lost device has nothing to give back.
  }
}

std::int64_t free_memory_in_cgroups(const std::string& mount, const std::string& processes) {
  return least_of_cgroups(&free_in_cgroup, mount, processes);
}

std::int64_t memory_limit_of_cgroups(const std::string& mount, const std::string& processes) {
  return least_of_cgroups(&limit_of_cgroup, mount, processes);
}

std::int64_t total_memory(c10::Device device) {
  if (!device.is_cpu()) {
    return static_cast<std::int64_t>(c10::getDeviceAllocator(device.type())->getMemoryInfo(device.index()).second);
  }
  const auto total = read_field("/proc/meminfo", "MemTotal:");
  return std::min(total ? *total * kKibibyte : kUnknown, memory_limit_of_cgroups(kCgroupMount, own_cgroups()));
}

std::int64_t free_memory(c10::Device device, std::int64_t wanted) {
  if (device.is_cpu()) return free_host_memory(wanted);
  const auto counts = allocator_counts(device);
  return counts.free + counts.reserved - counts.allocated;
}

}  // namespace easel
