// Detects which published model a single file is derived from, and what follows from that.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "checkpoints/checkpoint.h"
#include "checkpoints/single_file_configs.h"
#include "easel/tokenizer.h"
#include "weights/stores/safetensors.h"

namespace easel {

/// A text encoder of the family.
struct SingleFileTextEncoder {
  Component component;
  std::string scope;  ///< prefix of its names, e.g. "conditioner.embedders.1."
  std::string class_name;
  std::string hidden_act;
  ClipPadding padding;
  std::int64_t max_layers = kAllLayers;  ///< layers that it uses; the file may hold more
};

struct SingleFileFamily {
  std::string class_name;  ///< of diffusers' pipeline
  std::vector<SingleFileTextEncoder> text_encoders;
  nlohmann::json settings = nlohmann::json::object();  ///< of model_index.json
  std::int64_t sample_size = 0;                        ///< latent cells of the native image
  VaeTraits vae;
  std::map<Component, nlohmann::json> schedulers;  ///< scheduler_config.json of each
  std::string prediction_source;                   ///< where the prediction type was found, for the user
};

/// Finds the family of a file that holds a UNet in the original layout.
/// @param overrides  its `prediction_type` takes precedence over the file's
/// @throws Error(kUnsupported)  a family that easel does not read from a single file, which the message names
SingleFileFamily find_single_file_family(const SafetensorsFile& file, const NameSet& names,
                                         const SingleFileOverrides& overrides);

}  // namespace easel
