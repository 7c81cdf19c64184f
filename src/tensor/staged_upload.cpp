#include "tensor/staged_upload.h"

#include <ATen/ops/empty.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace easel {
namespace {

constexpr std::int64_t kBufferBytes = 32 << 20;

/// Asks the system to read the pages of a mapped file ahead. Does nothing for other memory.
void read_ahead(const void* begin, std::int64_t bytes) {
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto before = reinterpret_cast<std::uintptr_t>(begin) % page;  // bytes of the first page
  auto* const first = const_cast<std::byte*>(static_cast<const std::byte*>(begin)) - before;
  madvise(first, before + static_cast<std::uintptr_t>(bytes), MADV_WILLNEED);
}

}  // namespace

StagedUpload::StagedUpload(c10::Device device)
    : device_(device), stream_(c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device)) {}

StagedUpload::~StagedUpload() {
  try {
    finish();
  } catch (const c10::Error&) {
    // The device is lost, and nothing will read the buffers any more.
  }
}

at::Tensor StagedUpload::copy(const at::Tensor& host, c10::ScalarType dtype, std::optional<at::MemoryFormat> format) {
  const auto source = host.contiguous();
  auto result = at::empty(source.sizes(), source.options().device(device_));
  const auto bytes = static_cast<std::int64_t>(source.nbytes());
  if (bytes > 0) {
    const auto* from = static_cast<const char*>(source.const_data_ptr());
    const auto to = result.view({-1}).view(at::kByte);
    read_ahead(from, bytes);
    for (std::int64_t done = 0; done < bytes; done += kBufferBytes) {
      copy_part(from + done, to.narrow(0, done, std::min(kBufferBytes, bytes - done)));
    }
  }
  if (format) return result.to(result.options().dtype(dtype), /*non_blocking=*/false, /*copy=*/false, format);
  return result.to(dtype);
}

void StagedUpload::copy_part(const void* from, const at::Tensor& to) {
  auto& buffer = buffers_[next_];
  next_ = (next_ + 1) % buffers_.size();
  if (buffer.free_at) buffer.free_at->synchronize();
  if (!buffer.bytes.defined()) {
    buffer.bytes = at::empty({kBufferBytes}, at::TensorOptions().dtype(at::kByte).pinned_memory(true));
  }
  const auto part = buffer.bytes.narrow(0, 0, to.numel());
  std::memcpy(part.mutable_data_ptr(), from, static_cast<std::size_t>(to.numel()));
  to.copy_(part, /*non_blocking=*/true);
  buffer.free_at.emplace(device_.type());
  buffer.free_at->record(stream_);
}

void StagedUpload::finish() {
  stream_.synchronize();
}

}  // namespace easel
