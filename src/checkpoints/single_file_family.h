// Which of the published models a single file is a kin of, and what follows from that.
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

/// A text encoder that the family has.
struct SingleFileTextEncoder {
  Component component;
  std::string scope;  ///< what its names begin with, e.g. "conditioner.embedders.1."
  std::string class_name;
  std::string hidden_act;
  ClipPadding padding;
  std::int64_t max_layers = kAllLayers;  ///< that it uses, whatever the file holds
};

struct SingleFileFamily {
  std::string class_name;  ///< of diffusers' pipeline
  std::vector<SingleFileTextEncoder> text_encoders;
  nlohmann::json settings = nlohmann::json::object();  ///< of model_index.json
  std::int64_t sample_size = 0;                        ///< latent cells of the native image
  VaeTraits vae;
  std::map<Component, nlohmann::json> schedulers;  ///< scheduler_config.json of each
};

/// Finds the family of a file that holds a UNet of the original layout.
/// @param parts  its `prediction_type` counts before what the file says
/// @throws Error(kUnsupported)  a family that easel does not read from a single file, named
SingleFileFamily find_single_file_family(const SafetensorsFile& file, const NameSet& names,
                                         const SingleFileOverrides& parts);

}  // namespace easel
