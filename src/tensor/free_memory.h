// How much of a device's memory is left.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>

namespace easel {

/// Bytes that new tensors could take now: on a GPU what the driver has left and what libtorch keeps unused; on a CPU
/// what the kernel says is available, within the limit of the process's control group. The largest number where the
/// system does not say. A guess as soon as others use the machine.
std::int64_t free_memory(c10::Device device);

}  // namespace easel
