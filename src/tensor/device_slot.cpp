#include "tensor/device_slot.h"

#include <c10/core/InferenceMode.h>

namespace easel {
namespace {

/// Makes `tensor`, in every hand that holds it, what `other` is. Both then share their memory.
void become(const at::Tensor& tensor, const at::Tensor& other) {
  tensor.unsafeGetTensorImpl()->shallow_copy_from(other.getIntrusivePtr());
}

}  // namespace

void DeviceSlot::Component::add(const at::Tensor& tensor) {
  const c10::InferenceMode inference;
  parts_.push_back({.handed_out = tensor, .host = tensor.alias()});
}

DeviceSlot::DeviceSlot(c10::Device device)
    : DeviceSlot([device](const at::Tensor& host) { return host.to(device, /*non_blocking=*/true); }) {}

std::shared_ptr<DeviceSlot::Component> DeviceSlot::add() {
  return std::make_shared<Component>();
}

void DeviceSlot::leave(Component& component) {
  for (const auto& part : component.parts_) become(part.handed_out, part.host);
  component.inside_ = false;
}

void DeviceSlot::enter(const std::shared_ptr<Component>& component) {
  if (component->inside_) return;
  const c10::InferenceMode inference;
  const std::lock_guard lock(mutex_);
  if (const auto before = current_.lock()) leave(*before);
  current_ = component;
  try {
    for (const auto& part : component->parts_) become(part.handed_out, copy_(part.host));
  } catch (...) {
    leave(*component);
    current_.reset();
    throw;
  }
  component->inside_ = true;
}

std::shared_ptr<DeviceSlot> DeviceSlots::of(c10::Device device) {
  const std::lock_guard lock(mutex_);
  auto& slot = slots_[device.str()];
  if (!slot) slot = std::make_shared<DeviceSlot>(device);
  return slot;
}

}  // namespace easel
