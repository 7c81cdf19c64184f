// Where a model takes its weights from while it is built, and where its layers are recorded.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "nn/layer_table.h"
#include "weights/loading/weight_scope.h"

namespace easel {

/// A WeightScope along with the table of the model's layers. Every module's constructor takes one. Cheap to copy; the
/// Weights must outlive it.
class ModuleScope : public WeightScope {
 public:
  /// @param layers  the table to record layers in: that of a model which is built again, or a new one
  ModuleScope(WeightScope scope, std::shared_ptr<LayerTable> layers = std::make_shared<LayerTable>())
      : WeightScope(std::move(scope)), layers_(std::move(layers)) {}

  // The scope of a child has the table, too. NOLINTBEGIN(bugprone-derived-method-shadowing-base-method)
  ModuleScope operator/(const std::string& child) const { return {WeightScope::operator/(child), layers_}; }
  ModuleScope operator/(std::int64_t index) const { return {WeightScope::operator/(index), layers_}; }
  // NOLINTEND(bugprone-derived-method-shadowing-base-method)

  /// Records the layer of this scope's name. @param shape  of its weight
  std::shared_ptr<const LayerSlot> layer(std::vector<std::int64_t> shape) const {
    return layers_->add(prefix(), std::move(shape));
  }
  /// All layers recorded so far and from now on.
  const std::shared_ptr<LayerTable>& layers() const { return layers_; }

 private:
  std::shared_ptr<LayerTable> layers_;
};

}  // namespace easel
