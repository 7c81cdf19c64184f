// The layers of a model by name: where adapters find them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/component.h"

namespace easel {

/// A layer whose weight an adapter can change. Immutable; its address identifies the layer (AdapterSet::find).
struct LayerSlot {
  std::string name;                 ///< within its model, e.g. "mid_block.attentions.0.proj_in"
  std::vector<std::int64_t> shape;  ///< of its weight: [out, in]; [out, in, k, k] of a convolution; [features] of a
                                    ///< group or layer norm

  bool is_norm() const { return shape.size() == 1; }
};

/// The layers of one model, recorded while the model is built. The model's layers share ownership of the slots, so a
/// slot lives as long as the table or the model.
///
/// A model that left memory and is built again with the same table gets the same slots, so adapters that were bound to
/// them still apply. Not thread-safe while a model is being built; afterwards it is only read.
class LayerTable {
 public:
  /// The component that the model is, by which adapter files address it. None: no adapter applies to it.
  std::optional<Component> component;

  /// The slot of that name, which is created at the first call. @param shape  of the layer's weight
  std::shared_ptr<LayerSlot> add(const std::string& name, std::vector<std::int64_t> shape) {
    auto& slot = slots_[name];
    if (!slot) slot = std::make_shared<LayerSlot>(LayerSlot{.name = name, .shape = std::move(shape)});
    return slot;
  }
  const std::map<std::string, std::shared_ptr<LayerSlot>>& slots() const { return slots_; }

 private:
  std::map<std::string, std::shared_ptr<LayerSlot>> slots_;
};

}  // namespace easel
