#include "adapters/adapters.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "adapters/adapter_loader.h"
#include "core/text.h"
#include "easel/error.h"
#include "weights/format/message_format.h"

namespace easel {
namespace {

constexpr std::size_t kMaxAdapters = 32;
constexpr double kMaxWeight = 100;  // far larger than useful, and far from overflowing

using Models = std::vector<std::shared_ptr<LayerTable>>;

Error rejected(const std::string& why) {
  return {ErrorCode::kInvalidArgument, why, "loras"};
}

AdapterWeights weights_of(const AdapterSelection& use) {
  return {.unet = use.weight, .text_encoders = use.text_encoder_weight.value_or(use.weight)};
}

void check(const std::vector<AdapterSelection>& uses) {
  if (uses.size() > kMaxAdapters) {
    throw rejected(concat("`loras` names ", uses.size(), " adapters, expected at most ", kMaxAdapters));
  }
  for (const auto& use : uses) {
    const auto [unet, text_encoders] = weights_of(use);
    for (const auto weight : {unet, text_encoders}) {
      if (std::abs(weight) <= kMaxWeight) continue;
      throw rejected(concat("the weight of adapter ", quote_name(use.name), " is ", weight, ", expected ", -kMaxWeight,
                            " to ", kMaxWeight));
    }
  }
}

}  // namespace

Adapters::Adapters(const AdapterOptions& options, const std::vector<std::shared_ptr<LayerTable>>& models,
                   const Placement& placement)
    : directory_(options.directory),
      names_(options.directory.empty() ? Models{} : models),
      placement_(placement),
      loaded_(options.memory_bytes) {}

std::shared_ptr<const AdapterSet> Adapters::resolve(const std::vector<AdapterSelection>& uses) {
  check(uses);
  std::vector<std::string> paths;
  for (const auto& use : uses) {
    auto path = directory_.file(use.name);
    if (std::find(paths.begin(), paths.end(), path) != paths.end()) {
      throw rejected(concat("the adapter ", quote_name(use.name), " is named twice"));
    }
    paths.push_back(std::move(path));
  }
  auto set = std::make_shared<AdapterSet>();
  for (std::size_t i = 0; i < uses.size(); ++i) {
    const auto weights = weights_of(uses[i]);
    if (weights.any()) set->add(*get(paths[i]), weights);
  }
  return set->key().empty() ? nullptr : set;
}

std::shared_ptr<const BoundAdapter> Adapters::get(const std::string& path) {
  const auto stamp = stamp_of(path);
  const auto* known = loaded_.find(path);
  if (stamp && known != nullptr && known->stamp == stamp) return known->adapter;
  loaded_.erase(path);  // before its new version takes memory
  auto adapter = load_adapter(path, std::to_string(loads_), names_, placement_);
  ++loads_;
  loaded_.insert(path, {.stamp = stamp, .adapter = adapter}, adapter->bytes);
  return adapter;
}

}  // namespace easel
