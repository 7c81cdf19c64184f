// What NVIDIA calls the generation of a GPU.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <compare>
#include <optional>

namespace easel {

struct ComputeCapability {
  int major = 0;
  int minor = 0;
  auto operator<=>(const ComputeCapability&) const = default;
};

/// Of a CUDA device; none for other devices, and where the CUDA runtime does not say it.
std::optional<ComputeCapability> compute_capability(c10::Device device);

/// The dtype that a GPU computes in if nobody named one: float16, or float32 on the generations that compute in float16
/// many times slower (5.0, 5.2 and 6.1).
/// @param capability  none: a GPU of unknown generation
c10::ScalarType automatic_gpu_dtype(std::optional<ComputeCapability> capability);

/// Whether libtorch's fused attention exists for a dtype. Without it the scores of all pairs are in memory, which no
/// estimate of easel includes.
/// @param capability  none: a GPU of unknown generation, which is taken for a recent one
bool has_fused_attention(c10::ScalarType dtype, std::optional<ComputeCapability> capability);

}  // namespace easel
