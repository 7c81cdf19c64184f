#include "adapters/adapter_catalog.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "easel/error.h"
#include "weights/stores/safetensors.h"

namespace easel {
namespace {

using Metadata = std::map<std::string, std::string>;

constexpr std::size_t kMaxTriggerWords = 20;

std::string value_of(const Metadata& metadata, const std::string& key) {
  const auto found = metadata.find(key);
  return found == metadata.end() || found->second == "None" ? "" : found->second;
}

/// Names of base models, as trainers write them, to the families of this program; the first part that occurs decides.
std::string family_named(const std::string& base_model) {
  constexpr std::pair<std::string_view, const char*> kFamilies[] = {
      {"sdxl", "stable-diffusion-xl"}, {"xl-v1", "stable-diffusion-xl"}, {"sd_v1", "stable-diffusion"},
      {"sd_v2", "stable-diffusion"},   {"-v1", "stable-diffusion"},      {"-v2", "stable-diffusion"}};
  for (const auto& [part, family] : kFamilies) {
    if (base_model.find(part) != std::string::npos) return family;
  }
  return base_model;
}

/// The family whose text encoders have the width that the file's cross-attentions take; empty if there are none.
std::string family_by_width(const SafetensorsFile& file) {
  constexpr std::pair<std::int64_t, const char*> kWidths[] = {{768, "stable-diffusion"},
                                                              {1024, "stable-diffusion"},
                                                              {2048, "stable-diffusion-xl"},
                                                              {1280, "stable-diffusion-xl"}};
  for (const auto& name : file.names()) {
    const bool takes_text =
        name.find("attn2_to_k") != std::string::npos || name.find("attn2.to_k") != std::string::npos;
    const bool is_down = name.find("lora_down") != std::string::npos || name.find("lora_A") != std::string::npos;
    const auto* info = takes_text && is_down ? file.find(name) : nullptr;
    if (info == nullptr || info->shape.size() < 2) continue;
    for (const auto& [width, family] : kWidths) {
      if (info->shape[1] == width) return family;
    }
  }
  return "";
}

std::vector<std::string> split_at_commas(const std::string& text) {
  std::vector<std::string> words;
  for (std::size_t at = 0; at < text.size();) {
    const auto comma = std::min(text.find(',', at), text.size());
    const auto first = text.find_first_not_of(' ', at);
    if (first < comma) words.push_back(text.substr(first, text.find_last_not_of(' ', comma - 1) - first + 1));
    at = comma + 1;
  }
  return words;
}

/// The tags of kohya's trainer, {"folder": {"tag": count}}, the most frequent first. Tags of one count keep the order
/// of the alphabet.
std::vector<std::string> frequent_tags(const std::string& text) {
  const auto folders = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  std::map<std::string, double> counts;
  if (folders.is_object()) {
    for (const auto& tags : folders) {
      if (!tags.is_object()) continue;
      for (const auto& [tag, count] : tags.items()) {
        if (count.is_number()) counts[tag] += count.get<double>();
      }
    }
  }
  std::vector<std::pair<std::string, double>> sorted(counts.begin(), counts.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  std::vector<std::string> words;
  for (const auto& [tag, count] : sorted) {
    if (words.size() == kMaxTriggerWords) break;
    words.push_back(tag);
  }
  return words;
}

void read_header(const std::string& path, AdapterDescription& description) {
  const SafetensorsFile file(path);
  const auto& metadata = file.metadata();
  description.alias = value_of(metadata, "ss_output_name");
  auto base_model = value_of(metadata, "ss_base_model_version");
  if (base_model.empty()) base_model = value_of(metadata, "modelspec.architecture");
  description.family = base_model.empty() ? family_by_width(file) : family_named(base_model);
  description.trigger_words = split_at_commas(value_of(metadata, "modelspec.trigger_phrase"));
  if (description.trigger_words.empty()) {
    description.trigger_words = frequent_tags(value_of(metadata, "ss_tag_frequency"));
  }
}

}  // namespace

AdapterCatalog::Known AdapterCatalog::describe(const std::string& name) const {
  Known known{.stamp = {}, .description = {.name = name}};
  try {
    const auto path = directory_.file(name);
    known.stamp = stamp_of(path);
    const auto old = known_.find(name);
    if (old != known_.end() && known.stamp && old->second.stamp == known.stamp) return old->second;
    if (known.stamp) known.description.bytes = static_cast<std::int64_t>(known.stamp->size);
    read_header(path, known.description);
  } catch (const Error&) {
    // Requests that name the adapter get an error that says what is wrong with its file.
  }
  return known;
}

std::vector<AdapterDescription> AdapterCatalog::list() {
  const MutexLock lock(mutex_);
  std::map<std::string, Known> current;
  std::vector<AdapterDescription> descriptions;
  for (const auto& name : directory_.names()) {
    auto known = describe(name);
    descriptions.push_back(known.description);
    current.emplace(name, std::move(known));
  }
  known_ = std::move(current);
  return descriptions;
}

}  // namespace easel
