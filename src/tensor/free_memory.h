// How much of a device's memory is left.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <string>

namespace easel {

/// Bytes that new tensors could take now: on a GPU, what the driver has left plus what libtorch's allocator holds
/// unused; on a CPU, what the kernel reports as available within the limits of the process's control groups, or the
/// largest number if the system does not report it. Only an estimate while other programs use the machine.
/// @param wanted  if a host seems to have less, the process's allocator first returns the memory that it retains, as
///                otherwise less would be free after each image than before the first
std::int64_t free_memory(c10::Device device, std::int64_t wanted = 0);

/// Bytes that a device has altogether: on a CPU, the host's within the limits of the process's control groups, or the
/// largest number if the system does not report it.
std::int64_t total_memory(c10::Device device);

/// Returns the host memory that the process's allocator retains for future tensors to the kernel. Called when a model
/// is unloaded, since other models may have no tensors of the same sizes. Does nothing without jemalloc.
void release_cached_host_memory();

/// What a GPU's driver and libtorch's allocator count. Bytes, and numbers of allocations since the start.
struct AllocatorCounts {
  std::int64_t allocated = 0, reserved = 0, free = 0, total = 0;
  std::int64_t out_of_memory = 0;  ///< failed
  std::int64_t retries = 0;        ///< succeeded after the allocator had given back what it kept
};
/// @param device  not a CPU @throws c10::Error  the device is lost
AllocatorCounts allocator_counts(c10::Device device);

/// Bytes of a device's memory that models may take if nobody said how many: all but 1.5 GiB, which the driver's
/// context, the workspaces of libraries and the images in progress need. 0 for a CPU, where the system can swap: no
/// limit.
std::int64_t default_memory_budget(c10::Device device);

/// Returns the memory that libtorch's allocator retains for future tensors to the device, and so to other programs, or
/// to the host's system as release_cached_host_memory() does. Called when a model is unloaded. A device that fails is
/// left as it is.
void release_cached_memory(c10::Device device) noexcept;

/// Bytes that the control groups of a process and their ancestors allow. Arguments as for free_memory_in_cgroups.
std::int64_t memory_limit_of_cgroups(const std::string& mount, const std::string& processes);

/// Bytes that the control groups of a process, v2 or v1, and their ancestors leave free.
/// @param mount      where they are mounted: /sys/fs/cgroup
/// @param processes  the text of /proc/self/cgroup, which names the process's groups
std::int64_t free_memory_in_cgroups(const std::string& mount, const std::string& processes);

}  // namespace easel
