// From the host's memory to a device.
#pragma once

#include <ATen/core/Tensor.h>

namespace easel {

/// Like host.to(device, dtype), but does not wait for work that was enqueued on the device before. A device copies
/// asynchronously only from pinned memory; from other memory, all but the smallest copies wait until it is idle.
/// @param host  on the CPU
at::Tensor upload(const at::Tensor& host, c10::Device device, c10::ScalarType dtype);

}  // namespace easel
