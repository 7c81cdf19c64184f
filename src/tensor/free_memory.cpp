#include "tensor/free_memory.h"

#include <c10/core/CachingDeviceAllocator.h>

#include <algorithm>
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

/// The least that a group and its ancestors leave free. If the mount shows a container's own group as its root, the
/// path does not exist below it and only the root counts.
std::int64_t free_in_cgroup_and_ancestors(const std::string& mount, std::string path, const CgroupFiles& files) {
  auto free = free_in_cgroup(mount, files);
  for (; path.size() > 1; path.resize(path.rfind('/'))) free = std::min(free, free_in_cgroup(mount + path, files));
  return free;
}

/// @param field  of /proc/meminfo, for the machine as a whole
std::int64_t host_memory(const std::string& field) {
  constexpr std::int64_t kKibibyte = 1024;
  const auto of_machine = read_field("/proc/meminfo", field);
  std::ifstream file("/proc/self/cgroup");
  const std::string processes(std::istreambuf_iterator<char>(file), {});
  return std::min(of_machine ? *of_machine * kKibibyte : kUnknown, free_memory_in_cgroups("/sys/fs/cgroup", processes));
}

std::int64_t available_host_memory() {
  return host_memory("MemAvailable:");
}

std::int64_t free_host_memory(std::int64_t wanted) {
  const auto free = available_host_memory();
  if (free >= wanted || mallctl == nullptr) return free;
  release_cached_host_memory();
  return available_host_memory();
}

}  // namespace

std::int64_t host_memory_capacity() {
  static const auto capacity = host_memory("MemTotal:");
  return capacity;
}

void release_cached_host_memory() {
  if (mallctl == nullptr) return;
  mallctl("arena.4096.purge", nullptr, nullptr, nullptr, 0);  // 4096 is all arenas (MALLCTL_ARENAS_ALL)
}

std::int64_t free_memory_in_cgroups(const std::string& mount, const std::string& processes) {
  auto free = kUnknown;
  std::istringstream lines(processes);
  for (std::string line; std::getline(lines, line);) {  // "4:cpu,memory:/a/b" in version 1, "0::/a/b" in version 2
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const auto controllers = "," + line.substr(first + 1, second - first - 1) + ",", path = line.substr(second + 1);
    if (controllers == ",,") free = std::min(free, free_in_cgroup_and_ancestors(mount, path, kVersion2));
    if (controllers.find(",memory,") == std::string::npos) continue;
    free = std::min(free, free_in_cgroup_and_ancestors(mount + "/memory", path, kVersion1));
  }
  return free;
}

std::int64_t free_memory(c10::Device device, std::int64_t wanted) {
  if (device.is_cpu()) return free_host_memory(wanted);
  auto* allocator = c10::getDeviceAllocator(device.type());
  constexpr std::size_t kAllPools = 0;
  const auto stats = allocator->getDeviceStats(device.index());
  const auto kept = stats.reserved_bytes[kAllPools].current - stats.allocated_bytes[kAllPools].current;
  return static_cast<std::int64_t>(allocator->getMemoryInfo(device.index()).first) + kept;
}

}  // namespace easel
