#include "nn/adapter_set.h"

#include <algorithm>

#include "core/text.h"

namespace easel {

void AdapterSet::add(const BoundAdapter& adapter, AdapterWeights weights) {
  // All digits: two weights that differ at all are two sets.
  const auto key_with = [&](auto... numbers) { return concat('#', adapter.id, std::hexfloat, '*', numbers...); };
  if (weights.any()) key_ += key_with(weights.unet, '*', weights.text_encoders);
  for (const auto& [model, slot, change] : adapter.layers) {
    const auto weight = weights.of(*model);
    if (weight == 0) continue;
    const auto key = key_with(weight);
    auto& own = model_adapters(model);
    if (!own.key.ends_with(key)) own.key += key;
    own.layers[slot].uses.push_back({.adapter = change, .weight = weight});
  }
}

std::string AdapterSet::key_of(const LayerTable& model) const {
  const auto* model_adapters = find(model);
  return model_adapters == nullptr ? std::string() : model_adapters->key;
}

AdapterSet::ModelAdapters& AdapterSet::model_adapters(const std::shared_ptr<LayerTable>& model) {
  const auto found =
      std::find_if(models_.begin(), models_.end(), [&](const ModelAdapters& p) { return p.model == model; });
  if (found != models_.end()) return *found;
  return models_.emplace_back(ModelAdapters{.model = model, .key = {}, .layers = {}});
}

const AdapterSet::ModelAdapters* AdapterSet::find(const LayerTable& model) const {
  const auto found =
      std::find_if(models_.begin(), models_.end(), [&](const ModelAdapters& p) { return p.model.get() == &model; });
  return found == models_.end() ? nullptr : &*found;
}

ScopedAdapters::ScopedAdapters(const LayerTable& model, const AdapterSet* set)
    : model_adapters_(set == nullptr ? nullptr : set->find(model)) {
  if (model_adapters_ == nullptr) return;
  for (const auto& [slot, adapters] : model_adapters_->layers) slot->adapters = &adapters;
}

ScopedAdapters::~ScopedAdapters() {
  if (model_adapters_ == nullptr) return;
  for (const auto& [slot, adapters] : model_adapters_->layers) slot->adapters = nullptr;
}

}  // namespace easel
