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

struct LayerAdapters;  // nn/layer_adapter.h

/// A layer whose weight an adapter can change.
struct LayerSlot {
  std::string name;                         ///< in its model, e.g. "mid_block.attentions.0.proj_in"
  std::vector<std::int64_t> shape;          ///< of its weight: [out, in], or [out, in, k, k] of a convolution
  const LayerAdapters* adapters = nullptr;  ///< in use for the length of a model call (nn/adapter_set.h); null: none
};

/// The layers of one model, noted as they are made. The model's layers share the slots, so those live as long as
/// either.
///
/// A model that left memory and is built again finds its slots again. A slot's `adapters` is written by the thread that
/// calls the model; models are shared between threads only where no adapter is in use.
class LayerTable {
 public:
  /// The component that the model is, by which adapter files address it. None: no adapter applies to it.
  std::optional<Component> component;

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
