#include "adapters/adapters.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "adapters/adapter_loader.h"
#include "core/text.h"
#include "easel/error.h"
#include "tensor/torch_errors.h"
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

void check_weights(const std::vector<AdapterSelection>& uses) {
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
    : options_(options),
      directory_(directory_of(options)),
      names_(options.directory.empty() ? Models{} : models),
      placement_(placement),
      loaded_(options.memory_bytes),
      delta_memory_(std::make_shared<DeltaMemory>(options.memory_bytes)) {}

std::shared_ptr<AdapterDirectory> Adapters::directory_of(const AdapterOptions& options) {
  return options.index ? options.index : std::make_shared<AdapterDirectory>(options.directory);
}

void Adapters::check(const std::vector<AdapterSelection>& uses, const AdapterDirectory& directory) {
  check_weights(uses);
  for (const auto& use : uses) directory.file(use.name);
}

std::shared_ptr<const AdapterSet> Adapters::resolve(const std::vector<AdapterSelection>& uses) {
  check_weights(uses);
  // An adapter that is named several times, under whatever names, is applied once, with the sum of its weights.
  std::vector<std::pair<std::string, AdapterWeights>> chosen;
  for (const auto& use : uses) {
    auto path = directory_->file(use.name);
    const auto weights = weights_of(use);
    const auto known = std::ranges::find(chosen, path, &std::pair<std::string, AdapterWeights>::first);
    if (known == chosen.end()) {
      chosen.emplace_back(std::move(path), weights);
    } else {
      known->second.unet += weights.unet;
      known->second.text_encoders += weights.text_encoders;
    }
  }
  auto set = std::make_shared<AdapterSet>(delta_memory_);
  for (const auto& [path, weights] : chosen) {
    if (weights.any()) set->add(*get(path), weights);
  }
  delta_memory_->set_limit(options_.memory_bytes - std::min(options_.memory_bytes, loaded_.weight()));
  return set->key().empty() ? nullptr : set;
}

std::shared_ptr<const BoundAdapter> Adapters::get(const std::string& path) {
  const auto stamp = stamp_of(path);
  const auto* known = loaded_.find(path);
  if (stamp && known != nullptr && known->stamp == stamp) return known->adapter;
  loaded_.erase(path);  // before its new version takes memory
  std::shared_ptr<const BoundAdapter> adapter;
  try {
    adapter = with_torch_errors([&] { return load_adapter(path, std::to_string(loads_), names_, placement_); });
  } catch (const Error& e) {
    // The request chose the file, so it is the request that cannot be served, whatever is wrong with the file.
    if (e.code() == ErrorCode::kResourceExhausted) throw;
    throw rejected(without_folder(e.what()));
  }
  ++loads_;
  loaded_.insert(path, {.stamp = stamp, .adapter = adapter}, adapter->bytes);
  return adapter;
}

/// Clients must not learn the path of the folder.
std::string Adapters::without_folder(std::string message) const {
  const auto prefix = options_.directory.ends_with('/') ? options_.directory : options_.directory + "/";
  for (auto at = message.find(prefix); at != std::string::npos; at = message.find(prefix)) {
    message.erase(at, prefix.size());
  }
  return message;
}

}  // namespace easel
