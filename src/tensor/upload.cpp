#include "tensor/upload.h"

#include <ATen/DeviceAccelerator.h>

namespace easel {

at::Tensor upload(const at::Tensor& host, c10::Device device, c10::ScalarType dtype) {
  // Converted first, as libtorch does it too: what it converts on the way is no longer pinned.
  const auto converted = host.to(dtype);
  if (!at::accelerator::isAccelerator(device.type())) return converted.to(device);
  return converted.contiguous().pin_memory().to(device, /*non_blocking=*/true);
}

}  // namespace easel
