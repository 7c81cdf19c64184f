// What diffusers writes into an adapter file beside its tensors.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "core/component.h"

namespace easel {

/// The `lora_adapter_metadata` of a file: PEFT's settings of each component, among them its alphas.
class AdapterScales {
 public:
  /// @param metadata  of the file's header
  /// @param file      for messages
  /// @throws Error(kCorruptData)  no JSON object of such settings
  /// @throws Error(kUnsupported)  a pattern of layer names that is more than a name
  AdapterScales(const std::map<std::string, std::string>& metadata, const std::string& file);

  /// scale of a layer: alpha / rank, or alpha / sqrt(rank) where rank stabilisation is on; none where nothing is said.
  std::optional<double> of(Component component, const std::string& layer, std::int64_t rank) const;

 private:
  nlohmann::json settings_ = nlohmann::json::object();
};

}  // namespace easel
