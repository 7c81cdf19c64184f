#include "nn/adapter_set.h"

#include <algorithm>

#include "core/text.h"

namespace easel {

void AdapterSet::add(const BoundAdapter& adapter, AdapterWeights weights) {
  // All digits: two weights that differ at all make two sets.
  const auto key_with = [&](auto... numbers) { return concat('#', adapter.id, std::hexfloat, '*', numbers...); };
  if (weights.any()) {
    key_ += key_with(weights.unet, '*', weights.text_encoders);
    words_.insert(words_.end(), adapter.words.begin(), adapter.words.end());
  }
  for (const auto& [model, slot, change] : adapter.layers) {
    const auto weight = weights.of(*model);
    if (weight == 0) continue;
    const auto key = key_with(weight);
    auto& of_model = model_key(model);
    if (!of_model.ends_with(key)) of_model += key;
    const bool each_step = model->component && is_denoising_model(*model->component);
    layers_[slot].uses.push_back(
        {.adapter = change, .weight = weight, .delta = std::make_shared<KeptDelta>(each_step ? memory_ : nullptr)});
  }
}

std::string AdapterSet::key_of(const LayerTable& model) const {
  const auto found =
      std::ranges::find_if(model_keys_, [&](const ModelKey& entry) { return entry.model.get() == &model; });
  return found == model_keys_.end() ? std::string() : found->key;
}

const LayerAdapters* AdapterSet::find(const std::shared_ptr<const LayerSlot>& slot) const {
  const auto found = layers_.find(slot);
  return found == layers_.end() ? nullptr : &found->second;
}

std::string& AdapterSet::model_key(const std::shared_ptr<LayerTable>& model) {
  const auto found = std::ranges::find(model_keys_, model, &ModelKey::model);
  return found != model_keys_.end() ? found->key : model_keys_.emplace_back(ModelKey{.model = model, .key = {}}).key;
}

}  // namespace easel
