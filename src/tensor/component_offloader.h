// Components that take turns on a device which has less memory than all of them need together.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/mutex.h"

namespace easel {

class CopyStream;

/// Keeps one component at a time on a device: a text encoder, a UNet or an autoencoder. The others wait in host memory.
/// Weights do not change, so an evicted component is dropped, not copied back: a change costs one copy to the device.
///
/// A component that is too large for the device can be streamed: of its blocks, only the one that computes and the next
/// one are on the device, and the next one is copied while the other computes. A model takes part in this by announcing
/// its blocks before it uses them; tensors of other blocks, and those outside of blocks, stay with the component.
///
/// Components can be added by any thread. make_resident, and computing with the resident component, belong to one
/// thread at a time: the engine's loop for the device. Work that was enqueued on the device before a change still sees
/// its weights, since the device's allocator keeps the order.
class ComponentOffloader {
 public:
  /// Copies a tensor from host memory to the device.
  using Copy = std::function<at::Tensor(const at::Tensor& host)>;
  /// Whether a component of this many bytes is streamed. Asked each time before one moves to the device.
  using StreamsBlocks = std::function<bool(std::int64_t bytes)>;

  /// A component's tensors. Created by ComponentOffloader::add; leaves the device when its last owner is destroyed.
  class Component {
   public:
    /// Adds a tensor in host memory. make_resident moves it in place: all holders of the tensor see it move.
    /// @param block  that the tensor belongs to, e.g. "layers.3"; empty: none
    void add(const at::Tensor& tensor, const std::string& block = "");
    /// The model promises to call make_resident for this block before each use of it.
    void announce(const std::string& block) { blocks_[block].announced = true; }
    bool resident() const { return resident_; }

   private:
    friend class ComponentOffloader;
    struct OffloadedTensor {
      at::Tensor shared, host;
    };
    struct Block {
      std::vector<OffloadedTensor> tensors;
      bool announced = false;
      bool on_device = false;
      std::vector<at::Tensor> copies = {};  ///< copied ahead, and not yet in the place of the tensors
      std::string next = {};                ///< the block that was used after this one; empty: not known
    };
    std::int64_t bytes() const;

    std::map<std::string, Block> blocks_;  // that of the empty name: tensors outside of blocks
    std::string last_;                     // the block that was used last
    bool resident_ = false, streams_ = false;
  };

  explicit ComponentOffloader(Copy copy, StreamsBlocks streams = {});
  /// @param streams_blocks  whether components are streamed that do not fit the memory that the device has left
  explicit ComponentOffloader(c10::Device device, bool streams_blocks = false);
  ~ComponentOffloader();

  /// A new component, without tensors and not on the device.
  std::shared_ptr<Component> add();

  /// Moves a component to the device after evicting the one that was there; of a component that is streamed, what is
  /// outside of its announced blocks. Does nothing if it is there already.
  /// @throws c10::OutOfMemoryError  it does not fit; no component is on the device then
  void make_resident(const std::shared_ptr<Component>& component);

  /// The same, and moves an announced block to the device if the component is streamed: the one that was used before
  /// leaves, and the one that follows is copied ahead.
  void make_resident(const std::shared_ptr<Component>& component, const std::string& block);

  /// Whether a component of this size would be streamed now.
  bool streams(std::int64_t bytes) const { return streams_ && streams_(bytes); }

 private:
  static void evict(Component& component);
  static void evict(Component::Block& block);
  void load(Component::Block& block);
  void load_ahead(Component::Block& block);

  Copy copy_;
  StreamsBlocks streams_;
  std::unique_ptr<CopyStream> copy_stream_;  // null: copies are done when they return
  Mutex mutex_;                              // guards the components' tensors as well
  std::weak_ptr<Component> current_ EASEL_GUARDED_BY(mutex_);
};

/// Where the weights of a component, or of one of its blocks, are: always on the device, or in turn with others. A
/// model keeps one, and its blocks may keep one each, and calls make_resident before it computes.
class OffloadHandle {
 public:
  OffloadHandle() = default;
  /// @param block  of the component; empty: all that is outside of announced blocks
  OffloadHandle(std::shared_ptr<ComponentOffloader> offloader, std::shared_ptr<ComponentOffloader::Component> component,
                std::string block = "");
  /// The weights are on the device when it returns. @throws c10::OutOfMemoryError
  void make_resident() const {
    if (offloader_) offloader_->make_resident(component_, block_);
  }

 private:
  std::shared_ptr<ComponentOffloader> offloader_;  // null: the weights never leave
  std::shared_ptr<ComponentOffloader::Component> component_;
  std::string block_;
};

/// The part of a tensor's or module's name that is common to its block: everything up to the first number, as in
/// "layers.3" of "layers.3.attention.to_q.weight". Empty outside of numbered blocks.
std::string numbered_block_of(const std::string& name);

/// The offloader of each device, created when it is first asked for. Thread-safe.
class ComponentOffloaders {
 public:
  /// @param streams_blocks  as in ComponentOffloader
  explicit ComponentOffloaders(bool streams_blocks = false) : streams_blocks_(streams_blocks) {}
  std::shared_ptr<ComponentOffloader> of(c10::Device device);

 private:
  bool streams_blocks_;
  Mutex mutex_;
  std::map<std::string, std::shared_ptr<ComponentOffloader>> offloaders_ EASEL_GUARDED_BY(mutex_);
};

}  // namespace easel
