#include "adapters/adapter_scales.h"

#include <cmath>
#include <string_view>

#include "core/text.h"
#include "easel/error.h"
#include "weights/format/message_format.h"

namespace easel {
namespace {

constexpr const char* kKey = "lora_adapter_metadata";

/// transformers 5 dropped CLIP's inner module, which older files and checkpoints still name.
std::string without_text_model(const std::string& name) {
  constexpr std::string_view kTextModel = "text_model.";
  return name.starts_with(kTextModel) ? name.substr(kTextModel.size()) : name;
}

/// PEFT matches a pattern against the end of a layer's name; "^" anchors it at the beginning.
bool matches(const std::string& pattern, const std::string& layer) {
  const auto name = without_text_model(layer);
  if (pattern.starts_with('^')) return name == without_text_model(pattern.substr(1));
  const auto end = without_text_model(pattern);
  return name == end || name.ends_with("." + end);
}

bool is_name(const std::string& pattern) {
  return pattern.find_first_of("*+?[](){}|\\$^", 1) == std::string::npos && pattern.find_first_of("*+?[](){}|\\$") != 0;
}

}  // namespace

AdapterScales::AdapterScales(const std::map<std::string, std::string>& metadata, const std::string& file) {
  const auto found = metadata.find(kKey);
  if (found == metadata.end() || found->second.empty()) return;
  const auto corrupt = [&](const std::string& why) {
    return Error(ErrorCode::kCorruptData, concat(file, ": `", kKey, "` ", why));
  };
  settings_ = nlohmann::json::parse(found->second, nullptr, /*allow_exceptions=*/false);
  if (!settings_.is_object()) throw corrupt("is not a JSON object");
  for (const auto& [key, value] : settings_.items()) {
    if ((key.ends_with(".lora_alpha") || key.ends_with(".alpha")) && !value.is_number()) {
      throw corrupt(quote_name(key) + " is not a number");
    }
    if (key.ends_with(".use_rslora") && !value.is_boolean()) throw corrupt(quote_name(key) + " is not a boolean");
    if (!key.ends_with(".alpha_pattern")) continue;
    if (!value.is_object()) throw corrupt(quote_name(key) + " is not an object");
    for (const auto& [pattern, alpha] : value.items()) {
      if (!alpha.is_number()) throw corrupt(quote_name(pattern) + " is not a number");
      if (!is_name(pattern)) {
        throw Error(ErrorCode::kUnsupported,
                    concat(file, ": `alpha_pattern` ", quote_name(pattern), " is not a plain layer name"));
      }
    }
  }
}

std::optional<double> AdapterScales::of(Component component, const std::string& layer, std::int64_t rank) const {
  const auto find = [&](const char* name) { return settings_.find(component_name(component) + "." + name); };
  auto alpha = find("lora_alpha");
  if (alpha == settings_.end()) alpha = find("alpha");
  if (alpha == settings_.end()) return std::nullopt;
  double value = alpha->get<double>();
  if (const auto patterns = find("alpha_pattern"); patterns != settings_.end()) {
    for (const auto& [pattern, own] : patterns->items()) {
      if (matches(pattern, layer)) {
        value = own.get<double>();
        break;
      }
    }
  }
  const auto stabilised = find("use_rslora");
  const auto ranks = static_cast<double>(rank);
  return value / (stabilised != settings_.end() && stabilised->get<bool>() ? std::sqrt(ranks) : ranks);
}

}  // namespace easel
