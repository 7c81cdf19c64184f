// A place in a component's tree of tensor names, from which a module takes its weights.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "tensor/component_offloader.h"
#include "tensor/placement.h"
#include "weights/loading/deferred_weight.h"
#include "weights/loading/layer_weight.h"

namespace easel {

class Weights;  // weights/loading/weights.h

/// Another form of a weight, for example the layout of a library's kernels.
using WeightConversion = std::function<at::Tensor(const at::Tensor&)>;

/// A place in the tree of names, e.g. "down_blocks.0.resnets.1". Cheap to copy; the Weights must outlive it.
class WeightScope {
 public:
  WeightScope(Weights& weights, std::string prefix) : weights_(&weights), prefix_(std::move(prefix)) {}

  WeightScope operator/(const std::string& child) const { return {*weights_, full(child)}; }
  WeightScope operator/(std::int64_t index) const { return *this / std::to_string(index); }
  const std::string& prefix() const { return prefix_; }  ///< the place's name; empty for the root

  bool has(const std::string& name) const;
  /// The tensor, in the placement's dtype and on its device: a view of the mapped file where it is stored that way,
  /// else a copy, after which the file's pages may leave memory. Must not be written. If it is missing, has another
  /// shape or is not of floating point, the fault is recorded, zeros without memory of their own are returned, and
  /// Weights::finish throws.
  /// @throws Error(kInternal)  taken before, which is a mistake in the model
  at::Tensor take(const std::string& name, at::IntArrayRef shape) const;
  /// The same for a large weight of a layer, which must convert it to the placement's dtype at each call: with
  /// WeightStorage::kStored it stays in the stored dtype, and so do 8-bit floating point and the weights of GGUF files.
  /// With a `format` it is laid out in that format, on a CPU at its first use or by Weights::prepare, and on other
  /// devices now, so that no step has to do it.
  /// @param convert  what is kept instead of the weight, made from it at the same time; the stored pages may leave
  ///                 memory then. Empty: the weight itself. Called from any thread
  /// @throws Error(kInternal)  taken before, which is a mistake in the model
  DeferredWeight take_deferred(const std::string& name, at::IntArrayRef shape,
                               std::optional<at::MemoryFormat> format = std::nullopt,
                               WeightConversion convert = {}) const;
  /// The weight of a layer that converts it to the dtype of its arithmetic at each call. Blocks of fewer bits and 8-bit
  /// floating point stay as they are stored; for others as take_deferred, in the layout in which they are stored.
  /// @param convert  as for take_deferred, of weights that are not in blocks
  /// @throws Error(kInternal)  taken before, which is a mistake in the model
  LayerWeight take_layer(const std::string& name, at::IntArrayRef shape, WeightConversion convert = {}) const;
  /// Says that many requests do not need the weights under this scope, so that Weights::prepare leaves them to their
  /// first use. To be called before they are taken.
  void prepare_at_first_use() const;
  /// Marks a tensor, if there is one, as known and not needed.
  void skip(const std::string& name) const;
  /// Of the tensors taken. The device may be kMeta, for names and shapes only.
  const Placement& placement() const;
  /// Of all weights of the component that are outside of blocks, or of the numbered block that this scope is in. A
  /// model keeps it and calls make_resident before it computes; a block that keeps one may be streamed, see
  /// ComponentOffloader.
  OffloadHandle offload_handle() const;

 private:
  std::string full(const std::string& name) const { return prefix_.empty() ? name : prefix_ + "." + name; }
  Weights* weights_;
  std::string prefix_;
};

}  // namespace easel
