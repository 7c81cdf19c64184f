// Components that take turns on a device which has less memory than all of them need together.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/mutex.h"

namespace easel {

/// Keeps one component at a time on a device: a text encoder, a UNet or an autoencoder. The others wait in host memory.
/// Weights do not change, so an evicted component is dropped, not copied back: a change costs one copy to the device.
///
/// Components can be added by any thread. make_resident, and computing with the resident component, belong to one
/// thread at a time: the engine's loop for the device. Work that was enqueued on the device before a change still sees
/// its weights, since the device's allocator keeps the order.
class ComponentOffloader {
 public:
  /// Copies a tensor from host memory to the device.
  using Copy = std::function<at::Tensor(const at::Tensor& host)>;

  /// A component's tensors. Created by ComponentOffloader::add; leaves the device when its last owner is destroyed.
  class Component {
   public:
    /// Adds a tensor in host memory. make_resident moves it in place: all holders of the tensor see it move.
    void add(const at::Tensor& tensor);
    bool resident() const { return resident_; }

   private:
    friend class ComponentOffloader;
    struct OffloadedTensor {
      at::Tensor shared, host;
    };
    std::vector<OffloadedTensor> tensors_;
    bool resident_ = false;
  };

  explicit ComponentOffloader(Copy copy) : copy_(std::move(copy)) {}
  explicit ComponentOffloader(c10::Device device);

  /// A new component, without tensors and not on the device.
  std::shared_ptr<Component> add();

  /// Moves a component to the device after evicting the one that was there. Does nothing if it is there already.
  /// @throws c10::OutOfMemoryError  it does not fit; no component is on the device then
  void make_resident(const std::shared_ptr<Component>& component);

 private:
  static void evict(Component& component);

  Copy copy_;
  Mutex mutex_;  // guards the components' tensors as well
  std::weak_ptr<Component> current_ EASEL_GUARDED_BY(mutex_);
};

/// Where a component's weights are: always on the device, or in turn with other components. A model keeps one and
/// calls make_resident before it computes.
class OffloadHandle {
 public:
  OffloadHandle() = default;
  OffloadHandle(std::shared_ptr<ComponentOffloader> offloader, std::shared_ptr<ComponentOffloader::Component> component)
      : offloader_(std::move(offloader)), component_(std::move(component)) {}
  /// The weights are on the device when it returns. @throws c10::OutOfMemoryError
  void make_resident() const {
    if (offloader_) offloader_->make_resident(component_);
  }

 private:
  std::shared_ptr<ComponentOffloader> offloader_;  // null: the weights never leave
  std::shared_ptr<ComponentOffloader::Component> component_;
};

/// The offloader of each device, created when it is first asked for. Thread-safe.
class ComponentOffloaders {
 public:
  std::shared_ptr<ComponentOffloader> of(c10::Device device);

 private:
  Mutex mutex_;
  std::map<std::string, std::shared_ptr<ComponentOffloader>> offloaders_ EASEL_GUARDED_BY(mutex_);
};

}  // namespace easel
