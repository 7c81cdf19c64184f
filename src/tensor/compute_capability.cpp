#include "tensor/compute_capability.h"

#include <dlfcn.h>

namespace easel {

std::optional<ComputeCapability> compute_capability(c10::Device device) {
  if (!device.is_cuda()) return std::nullopt;
  // libtorch does not offer it to programs that are built without CUDA's headers. The runtime is loaded with libtorch.
  using GetAttribute = int (*)(int* value, int attribute, int device);
  constexpr int kMajor = 75, kMinor = 76;  // of cudaDeviceAttr
  const auto get = reinterpret_cast<GetAttribute>(dlsym(RTLD_DEFAULT, "cudaDeviceGetAttribute"));
  ComputeCapability capability;
  if (get == nullptr || get(&capability.major, kMajor, device.index()) != 0 ||
      get(&capability.minor, kMinor, device.index()) != 0) {
    return std::nullopt;
  }
  return capability;
}

c10::ScalarType automatic_gpu_dtype(std::optional<ComputeCapability> capability) {
  for (const auto slow : {ComputeCapability{5, 0}, ComputeCapability{5, 2}, ComputeCapability{6, 1}}) {
    if (capability == slow) return c10::kFloat;
  }
  return c10::kHalf;
}

bool has_fused_attention(c10::ScalarType dtype, std::optional<ComputeCapability> capability) {
  constexpr ComputeCapability kFirstWithBFloat16{8, 0};
  return dtype != c10::kBFloat16 || !capability || *capability >= kFirstWithBFloat16;
}

}  // namespace easel
