// How much of a device's memory is left.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <string>

namespace easel {

/// Bytes that new tensors could take now: on a GPU what the driver has left and what libtorch keeps unused; on a CPU
/// what the kernel says is available, within the limits of the process's control groups. The largest number where the
/// system does not say. A guess as soon as others use the machine.
/// @param wanted  where a host seems to have less, the process's allocator first gives back what it keeps: otherwise
///                there would be less after each image than before the first
std::int64_t free_memory(c10::Device device, std::int64_t wanted = 0);

/// The host's memory that the process's allocator keeps for tensors to come goes back to the kernel: for when a model
/// has left, whose tensors no other may be as large as. Without jemalloc nothing happens.
void release_cached_host_memory();

/// What control groups leave, of cgroup v2 or v1: that of a process, and those around it.
/// @param mount      where they are mounted: /sys/fs/cgroup
/// @param processes  the text of /proc/self/cgroup, which names the process's own
std::int64_t free_memory_in_cgroups(const std::string& mount, const std::string& processes);

}  // namespace easel
