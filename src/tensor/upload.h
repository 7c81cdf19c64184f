// From the host's memory to a device.
#pragma once

#include <ATen/core/Tensor.h>

namespace easel {

/// As host.to(device, dtype), without waiting for the work that the device was given before. A device copies by itself
/// from pinned memory alone; out of any other, all but the smallest copies wait until the device is idle.
/// @param host  on the CPU
at::Tensor upload(const at::Tensor& host, c10::Device device, c10::ScalarType dtype);

}  // namespace easel
