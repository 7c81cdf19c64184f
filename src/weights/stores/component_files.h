// Which files of a component folder hold its weights.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "weights/loading/weights.h"

namespace easel {

/// One way in which a component may be stored. Names are those of diffusers 0.42.1 and transformers 5.23.0.
struct ComponentFiles {
  WeightVariant variant;
  std::string single;        ///< e.g. "diffusion_pytorch_model.fp16.safetensors"
  std::string index;         ///< e.g. "diffusion_pytorch_model.safetensors.index.fp16.json"
  std::string shard_prefix;  ///< what shards' names begin with, e.g. "diffusion_pytorch_model"
};

/// The two variants of `stem` as safetensors and as torch.save's .bin.
ComponentFiles safetensors_files(const std::string& stem, WeightVariant variant);
ComponentFiles torch_bin_files(const std::string& stem, WeightVariant variant);

/// Whether the folder holds either file, and which: its name.
std::optional<std::string> find_component_file(const std::string& folder, const ComponentFiles& files);

}  // namespace easel
