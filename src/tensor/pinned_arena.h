// Host memory from which a device copies without waiting.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace easel {

/// Copies tensors into pinned memory, many to one allocation: libtorch rounds each pinned allocation up to a power of
/// two and keeps it. The memory is freed when the last tensor of an allocation is. Not thread-safe.
class PinnedArena {
 public:
  /// The tensor with the same layout in pinned memory. @param host  dense, on the CPU
  at::Tensor copy(const at::Tensor& host);

 private:
  at::Tensor chunk_;  // uint8
  std::int64_t used_ = 0;
};

}  // namespace easel
