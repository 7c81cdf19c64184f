// The adapters of a request, as a model's layers look them up.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "nn/layer_adapter.h"
#include "nn/layer_table.h"

namespace easel {

/// A word of prompts whose embeddings an adapter file brings along. Immutable.
struct BundledWord {
  std::string word;
  std::map<std::string, at::Tensor> vectors;  ///< float32 [n, D] on the CPU, by text encoder: clip_l, clip_g; the only
                                              ///< one may have any name
  std::string file;                           ///< without its folder, for messages
  std::string version;                        ///< unique to these vectors within the process
};

/// An adapter file whose tensors have been assigned to layers. Immutable.
struct BoundAdapter {
  struct Layer {
    std::shared_ptr<LayerTable> model;
    std::shared_ptr<const LayerSlot> slot;  ///< of that model
    std::shared_ptr<const LayerAdapter> adapter;
  };
  std::string id;  ///< unique: a file that is read again gets another one
  std::vector<Layer> layers;
  std::size_t bytes = 0;  ///< size of its tensors
  std::vector<std::shared_ptr<const BundledWord>> words = {};
};

/// How strong an adapter is in each kind of model.
struct AdapterWeights {
  double unet = 1.0, text_encoders = 1.0;

  bool any() const { return unet != 0 || text_encoders != 0; }
  double of(const LayerTable& model) const {
    return model.component && is_denoising_model(*model.component) ? unet : text_encoders;
  }
};

/// The adapters that a request chose, in the order in which they are applied, each with a weight. All rows of a model
/// call use one set. Thread-safe once filled: model calls on several threads may use one set.
class AdapterSet {
 public:
  /// @param memory  for deltas of layers of denoising models, which are called at every step; null: none are kept
  explicit AdapterSet(std::shared_ptr<DeltaMemory> memory = nullptr) : memory_(std::move(memory)) {}

  /// An adapter whose weight is 0 is left out.
  void add(const BoundAdapter& adapter, AdapterWeights weights);

  /// Equal keys mean equal images.
  const std::string& key() const { return key_; }
  /// The same for one model only; empty if no adapter of the set changes it.
  std::string key_of(const LayerTable& model) const;

  /// The words of all adapters, in order. Of two with one name, the later one counts.
  const std::vector<std::shared_ptr<const BundledWord>>& words() const { return words_; }

  /// The adapters of one layer; null if none changes it. Called by every layer at every call.
  const LayerAdapters* find(const std::shared_ptr<const LayerSlot>& slot) const;

 private:
  struct ModelKey {
    std::shared_ptr<LayerTable> model;
    std::string key;
  };
  std::string& model_key(const std::shared_ptr<LayerTable>& model);

  std::shared_ptr<DeltaMemory> memory_;
  std::string key_;
  std::vector<ModelKey> model_keys_;
  std::unordered_map<std::shared_ptr<const LayerSlot>, LayerAdapters> layers_;
  std::vector<std::shared_ptr<const BundledWord>> words_;
};

}  // namespace easel
