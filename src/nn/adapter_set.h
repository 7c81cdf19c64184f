// The adapters of a request, and how a model call takes them up.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "nn/layer_adapter.h"
#include "weights/loading/layer_table.h"

namespace easel {

/// An adapter file whose tensors have found their layers. Immutable.
struct BoundAdapter {
  struct Layer {
    std::shared_ptr<LayerTable> model;
    std::shared_ptr<LayerSlot> slot;  ///< of that model
    std::shared_ptr<const LayerAdapter> adapter;
  };
  std::string id;  ///< no two have the same, also after a file was read again
  std::vector<Layer> layers;
  std::size_t bytes = 0;  ///< of its tensors
};

/// How strong an adapter is in each kind of model.
struct AdapterWeights {
  double unet = 1.0, text_encoders = 1.0;

  bool any() const { return unet != 0 || text_encoders != 0; }
  double of(const LayerTable& model) const { return model.component == Component::kUnet ? unet : text_encoders; }
};

/// What a request has chosen: adapters in the order they are applied, each with a weight. Rows of one model call have
/// one set. Immutable once filled.
class AdapterSet {
 public:
  /// Where a weight is 0, the adapter is not there.
  void add(const BoundAdapter& adapter, AdapterWeights weights);

  /// Equal keys mean equal images.
  const std::string& key() const { return key_; }
  /// The same for one model alone; empty where nothing of the set is for it.
  std::string key_of(const LayerTable& model) const;

 private:
  friend class ScopedAdapters;
  struct ModelAdapters {
    std::shared_ptr<LayerTable> model;
    std::string key;
    std::map<std::shared_ptr<LayerSlot>, LayerAdapters> layers;
  };
  ModelAdapters& model_adapters(const std::shared_ptr<LayerTable>& model);
  const ModelAdapters* find(const LayerTable& model) const;

  std::string key_;
  std::vector<ModelAdapters> models_;
};

/// As long as it lives, the model's layers work with a set's adapters. One at a time on one model, from one thread.
class ScopedAdapters {
 public:
  /// @param set  outlives this; null: nothing happens
  ScopedAdapters(const LayerTable& model, const AdapterSet* set);
  ~ScopedAdapters();
  ScopedAdapters(const ScopedAdapters&) = delete;
  ScopedAdapters& operator=(const ScopedAdapters&) = delete;

 private:
  const AdapterSet::ModelAdapters* model_adapters_;
};

}  // namespace easel
