// Models that take turns on a device with less memory than they need together.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/mutex.h"

namespace easel {

/// A place on a device for one component at a time: a text encoder, a UNet, an autoencoder. The others wait in host
/// memory. Weights do not change, so what leaves is dropped, not copied back: a change costs one copy to the device.
///
/// Components are added by any thread; enter and whatever computes with what is inside belong to one thread at a time,
/// the engine's loop for the device. Work that was handed to the device before a change still sees its weights: the
/// device's allocator keeps the order.
class ComponentOffloader {
 public:
  /// Puts a tensor of host memory on the device.
  using Copy = std::function<at::Tensor(const at::Tensor& host)>;

  /// A component's tensors. Made by ComponentOffloader::add; leaves the device when the last one lets go of it.
  class Component {
   public:
    /// A tensor in host memory, which enter moves in place: whoever holds it sees it move.
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

  /// A component without tensors yet, outside.
  std::shared_ptr<Component> add();

  /// Brings a component in; the one that was inside leaves first. Nothing happens when it is inside already.
  /// @throws c10::OutOfMemoryError  it does not fit; nothing is inside then
  void make_resident(const std::shared_ptr<Component>& component);

 private:
  static void evict(Component& component);

  Copy copy_;
  Mutex mutex_;  // guards the components' tensors as well
  std::weak_ptr<Component> current_ EASEL_GUARDED_BY(mutex_);
};

/// A slot for each device, made when it is first asked for. Thread-safe.
class ComponentOffloaders {
 public:
  std::shared_ptr<ComponentOffloader> of(c10::Device device);

 private:
  Mutex mutex_;
  std::map<std::string, std::shared_ptr<ComponentOffloader>> offloaders_ EASEL_GUARDED_BY(mutex_);
};

}  // namespace easel
