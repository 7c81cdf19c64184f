// A component's tensors by their checkpoint names, as a model takes them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tensor/component_offloader.h"
#include "tensor/placement.h"
#include "weights/loading/layer_table.h"

namespace easel {

/// Where one tensor is stored.
struct TensorInfo {
  std::string file;  ///< file name, for messages
  c10::ScalarType dtype;
  std::vector<std::int64_t> shape;
};

/// Named tensors, read-only: one safetensors file, several shards, or a test's own map. Thread-safe for reading.
class TensorStore {
 public:
  virtual ~TensorStore() = default;
  virtual std::vector<std::string> names() const = 0;
  virtual const TensorInfo* find(const std::string& name) const = 0;  ///< null when there is none
  /// The tensor as stored, on the CPU; a view into mapped memory where possible, which it keeps alive. Not to be
  /// written.
  virtual at::Tensor read(const std::string& name) const = 0;
  /// Says that the tensor was copied elsewhere and its mapped pages may leave memory. Reading it again still works.
  virtual void release(const std::string& name) const {}
  virtual std::string where() const = 0;  ///< file or folder, for messages
};

/// A weight that may be made when it is first asked for, in another form than the stored one: a model is ready before
/// its gigabytes are, and what no request needs is never made. Copies share one tensor. Thread-safe.
class DeferredWeight {
 public:
  explicit DeferredWeight(std::function<at::Tensor()> make) : state_(std::make_shared<State>(std::move(make))) {}
  explicit DeferredWeight(at::Tensor made);

  /// Not to be written.
  /// @throws Error(kCorruptData)  the file has changed since it was opened; asking again tries again
  const at::Tensor& get() const;

 private:
  struct State {
    explicit State(std::function<at::Tensor()> make_tensor) : make(std::move(make_tensor)) {}
    std::once_flag once;
    std::function<at::Tensor()> make;
    at::Tensor tensor;
  };
  std::shared_ptr<State> state_;
};

/// Where a component's weights are: on the device for good, or in turn with others.
class OffloadHandle {
 public:
  OffloadHandle() = default;
  OffloadHandle(std::shared_ptr<ComponentOffloader> offloader, std::shared_ptr<ComponentOffloader::Component> component)
      : offloader_(std::move(offloader)), component_(std::move(component)) {}
  /// After it the weights are on the device.
  void make_resident() const {
    if (offloader_) offloader_->make_resident(component_);
  }

 private:
  std::shared_ptr<ComponentOffloader> offloader_;
  std::shared_ptr<ComponentOffloader::Component> component_;
};

class Weights;

/// A place in the tree of names, e.g. "down_blocks.0.resnets.1". Cheap to copy; the Weights must outlive it.
class WeightScope {
 public:
  WeightScope(Weights& weights, std::string prefix) : weights_(&weights), prefix_(std::move(prefix)) {}

  WeightScope operator/(const std::string& child) const;
  WeightScope operator/(std::int64_t index) const { return *this / std::to_string(index); }

  bool has(const std::string& name) const;
  /// The tensor, in the placement's dtype and on its device: a view on the mapped file where it is stored so, else a
  /// copy, after which the file's pages may leave memory. Not to be written. When it is missing, has another shape or
  /// is not of floating point, the fault is noted, zeros without memory of their own are returned, and Weights::finish
  /// throws.
  /// @throws Error(kInternal)  taken before: a mistake in the model
  at::Tensor take(const std::string& name, at::IntArrayRef shape) const;
  /// The same for a large weight of a layer, which must convert it to the placement's dtype at each call: with
  /// WeightStorage::kStored it is kept as it is stored. With a `format` it is laid out so, on a CPU at its first use,
  /// elsewhere now, so that no step has to.
  /// @throws Error(kInternal)  taken before: a mistake in the model
  DeferredWeight take_deferred(const std::string& name, at::IntArrayRef shape,
                               std::optional<at::MemoryFormat> format = std::nullopt) const;
  /// Marks a tensor, if it is there, as known and not needed.
  void skip(const std::string& name) const;
  const Placement& placement() const;  ///< of the tensors taken; also kMeta, for names and shapes alone
  /// Of all weights of the component. A model keeps it and enters it before it computes.
  OffloadHandle offload_handle() const;
  /// Notes a layer of this name for adapters. @param shape  of its weight
  std::shared_ptr<LayerSlot> layer(std::vector<std::int64_t> shape) const;
  std::shared_ptr<LayerTable> layers() const;  ///< all layers noted so far and from now on

 private:
  std::string full(const std::string& name) const { return prefix_.empty() ? name : prefix_ + "." + name; }
  Weights* weights_;
  std::string prefix_;
};

/// Strict loading of one component: every tensor taken once, none left over.
///
/// Use: model takes from root(), then finish(). Not thread-safe.
class Weights {
 public:
  /// @param layers  where the model's layers are noted: that of a model which is built again, else one of its own
  Weights(std::shared_ptr<const TensorStore> store, Placement placement,
          std::shared_ptr<LayerTable> layers = std::make_shared<LayerTable>());
  ~Weights();

  WeightScope root() { return {*this, ""}; }
  const Placement& placement() const { return placement_; }

  /// @throws Error(kCorruptData)  lists the missing, wrongly shaped and unexpected tensors with their files: the first
  ///                              twenty, and how many more there are
  void finish();

 private:
  friend class WeightScope;
  struct State;
  at::Tensor take(const std::string& name, at::IntArrayRef shape);
  DeferredWeight take_deferred(const std::string& name, at::IntArrayRef shape, std::optional<at::MemoryFormat> format);
  at::Tensor offloadable(at::Tensor tensor);
  bool check(const std::string& name, at::IntArrayRef shape);

  std::shared_ptr<const TensorStore> store_;
  Placement placement_;
  Placement load_placement_;  // where tensors are when they are taken: in host memory while models take turns
  std::shared_ptr<ComponentOffloader::Component> component_;  // null unless they do
  std::unique_ptr<State> state_;
  std::shared_ptr<LayerTable> layers_;
};

inline const Placement& WeightScope::placement() const {
  return weights_->placement();
}

inline OffloadHandle WeightScope::offload_handle() const {
  return {weights_->placement().offloader, weights_->component_};
}

inline std::shared_ptr<LayerSlot> WeightScope::layer(std::vector<std::int64_t> shape) const {
  return weights_->layers_->add(prefix_, std::move(shape));
}

inline std::shared_ptr<LayerTable> WeightScope::layers() const {
  return weights_->layers_;
}

/// Two sets of the same weights that a folder may hold: as trained, and in half precision ("fp16" in the file names).
enum class WeightVariant { kFull, kHalf };

/// Tensors of a component folder: of the preferred variant if there is one, else of the other; of each, the file
/// `stem`.safetensors or, without it, the shards that its index names.
/// @param stem       "diffusion_pytorch_model" (diffusers) or "model" (transformers)
/// @param preferred  kHalf reads half as much where models run in float16 anyway
/// @throws Error(kNotFound)     none of these; when only .bin is there, names `easel convert`
/// @throws Error(kCorruptData)  names the file and the tensor
std::shared_ptr<const TensorStore> open_component(const std::string& folder, const std::string& stem,
                                                  WeightVariant preferred = WeightVariant::kFull);

}  // namespace easel
