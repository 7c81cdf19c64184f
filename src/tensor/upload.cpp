#include "tensor/upload.h"

#include <ATen/DeviceAccelerator.h>

namespace easel {

at::Tensor upload(const at::Tensor& host, c10::Device device, c10::ScalarType dtype) {
  // Converted first: if `to` converted on the way, as it would on the CPU, the result would not be pinned.
  const auto converted = host.to(dtype);
  if (!at::accelerator::isAccelerator(device.type())) return converted.to(device);
  return converted.contiguous().pin_memory().to(device, /*non_blocking=*/true);
}

}  // namespace easel
