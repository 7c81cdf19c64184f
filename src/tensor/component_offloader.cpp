#include "tensor/component_offloader.h"

#include <c10/core/InferenceMode.h>

namespace easel {
namespace {

/// Makes `tensor`, for all its holders, the same as `other`. Both then share their memory.
void rebind(const at::Tensor& tensor, const at::Tensor& other) {
  tensor.unsafeGetTensorImpl()->shallow_copy_from(other.getIntrusivePtr());
}

}  // namespace

void ComponentOffloader::Component::add(const at::Tensor& tensor) {
  const c10::InferenceMode inference;
  tensors_.push_back({.shared = tensor, .host = tensor.alias()});
}

ComponentOffloader::ComponentOffloader(c10::Device device)
    : ComponentOffloader([device](const at::Tensor& host) { return host.to(device, /*non_blocking=*/true); }) {}

std::shared_ptr<ComponentOffloader::Component> ComponentOffloader::add() {
  return std::make_shared<Component>();
}

void ComponentOffloader::evict(Component& component) {
  for (const auto& offloaded : component.tensors_) rebind(offloaded.shared, offloaded.host);
  component.resident_ = false;
}

void ComponentOffloader::make_resident(const std::shared_ptr<Component>& component) {
  if (component->resident_) return;
  const c10::InferenceMode inference;
  const MutexLock lock(mutex_);
  if (const auto before = current_.lock()) evict(*before);
  current_ = component;
  try {
    for (const auto& offloaded : component->tensors_) rebind(offloaded.shared, copy_(offloaded.host));
  } catch (...) {
    evict(*component);
    current_.reset();
    throw;
  }
  component->resident_ = true;
}

std::shared_ptr<ComponentOffloader> ComponentOffloaders::of(c10::Device device) {
  const MutexLock lock(mutex_);
  auto& offloader = offloaders_[device.str()];
  if (!offloader) offloader = std::make_shared<ComponentOffloader>(device);
  return offloader;
}

}  // namespace easel
