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

/// Bytes that the process could have if nothing else used memory: all of the machine's, or what its control groups
/// leave free. Computed by the first call, which should come before models are loaded; the largest number if the system
/// does not report it. Thread-safe.
std::int64_t host_memory_capacity();

/// Returns the host memory that the process's allocator retains for future tensors to the kernel. Called when a model
/// is unloaded, since other models may have no tensors of the same sizes. Does nothing without jemalloc.
void release_cached_host_memory();

/// Bytes that the control groups of a process, v2 or v1, and their ancestors leave free.
/// @param mount      where they are mounted: /sys/fs/cgroup
/// @param processes  the text of /proc/self/cgroup, which names the process's groups
std::int64_t free_memory_in_cgroups(const std::string& mount, const std::string& processes);

}  // namespace easel
