#include "pipelines/denoising/device_event.h"

#include <c10/core/impl/VirtualGuardImpl.h>

namespace easel {

DeviceEvent::DeviceEvent(c10::Device device) {
  if (device.is_cpu()) return;
  const c10::impl::VirtualGuardImpl guard(device.type());
  event_.emplace(device.type());
  event_->record(guard.getStream(device));
}

bool DeviceEvent::passed() const {
  return !event_ || event_->query();
}

void DeviceEvent::wait() const {
  if (event_) event_->synchronize();
}

}  // namespace easel
