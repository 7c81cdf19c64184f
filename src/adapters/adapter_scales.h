// The metadata that diffusers writes into adapter files.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "core/component.h"

namespace easel {

/// The `lora_adapter_metadata` of a file: PEFT's settings for each component, including alpha.
class AdapterScales {
 public:
  /// @param metadata  from the file's header
  /// @param file      for messages
  /// @throws Error(kCorruptData)  the metadata is not a JSON object with such settings
  /// @throws Error(kUnsupported)  a pattern of layer names that is not a plain name
  AdapterScales(const std::map<std::string, std::string>& metadata, const std::string& file);

  /// The scale of a layer: alpha / rank, or alpha / sqrt(rank) with rank stabilisation; none if the metadata has no
  /// alpha.
  std::optional<double> of(Component component, const std::string& layer, std::int64_t rank) const;

 private:
  nlohmann::json settings_ = nlohmann::json::object();
};

}  // namespace easel
