#include "tensor/pinned_arena.h"

#include <ATen/ops/empty.h>

namespace easel {
namespace {

constexpr std::int64_t kChunkBytes = 64 << 20;
constexpr std::int64_t kAlignment = 64;  // of every dtype, and a cache line

at::Tensor pinned_bytes(std::int64_t count) {
  return at::empty({count}, at::TensorOptions().dtype(at::kByte).pinned_memory(true));
}

}  // namespace

at::Tensor PinnedArena::copy(const at::Tensor& host) {
  const auto dense = host.is_non_overlapping_and_dense() ? host : host.contiguous();
  const auto bytes = static_cast<std::int64_t>(dense.nbytes());
  at::Tensor memory;
  if (bytes > kChunkBytes) {
    memory = pinned_bytes(bytes);
  } else {
    if (!chunk_.defined() || used_ + bytes > kChunkBytes) {
      chunk_ = pinned_bytes(kChunkBytes);
      used_ = 0;
    }
    memory = chunk_.narrow(0, used_, bytes);
    used_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
  }
  auto pinned = memory.view(dense.scalar_type()).as_strided(dense.sizes(), dense.strides());
  pinned.copy_(dense);
  return pinned;
}

}  // namespace easel
