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
    auto& own = part(model);
    if (!own.key.ends_with(key)) own.key += key;
    own.layers[slot].uses.push_back({.adapter = change, .weight = weight});
  }
}

std::string AdapterSet::key_of(const LayerTable& model) const {
  const auto* part = find(model);
  return part == nullptr ? std::string() : part->key;
}

AdapterSet::Part& AdapterSet::part(const std::shared_ptr<LayerTable>& model) {
  const auto found = std::find_if(parts_.begin(), parts_.end(), [&](const Part& p) { return p.model == model; });
  if (found != parts_.end()) return *found;
  return parts_.emplace_back(Part{.model = model, .key = {}, .layers = {}});
}

const AdapterSet::Part* AdapterSet::find(const LayerTable& model) const {
  const auto found = std::find_if(parts_.begin(), parts_.end(), [&](const Part& p) { return p.model.get() == &model; });
  return found == parts_.end() ? nullptr : &*found;
}

AdaptersInUse::AdaptersInUse(const LayerTable& model, const AdapterSet* set)
    : part_(set == nullptr ? nullptr : set->find(model)) {
  if (part_ == nullptr) return;
  for (const auto& [slot, adapters] : part_->layers) slot->adapters = &adapters;
}

AdaptersInUse::~AdaptersInUse() {
  if (part_ == nullptr) return;
  for (const auto& [slot, adapters] : part_->layers) slot->adapters = nullptr;
}

}  // namespace easel
