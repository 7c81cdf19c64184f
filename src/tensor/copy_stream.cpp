#include "tensor/copy_stream.h"

#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace easel {

CopyStream::CopyStream(c10::Device device)
    : device_(device), stream_(c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device)) {}

std::vector<at::Tensor> CopyStream::copy(const std::vector<at::Tensor>& host) {
  const c10::StreamGuard guard(stream_);
  std::vector<at::Tensor> copies;
  for (const auto& tensor : host) copies.push_back(tensor.pin_memory().to(device_, /*non_blocking=*/true));
  return copies;
}

void CopyStream::join(const std::vector<at::Tensor>& copies) {
  const c10::impl::VirtualGuardImpl impl(device_.type());
  const auto current = impl.getStream(device_);
  c10::Event copied(device_.type());
  copied.record(stream_);
  copied.block(current);
  for (const auto& tensor : copies) tensor.record_stream(current);
}

}  // namespace easel
