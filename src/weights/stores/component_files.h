// Which files of a component folder hold its weights.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace easel {

/// The two sets of the same weights that a folder may hold: as trained, and in half precision ("fp16" in the file
/// names).
enum class WeightVariant { kFull, kHalf };

/// One way in which a component may be stored. Names are those of diffusers 0.42.1 and transformers 5.23.0.
struct ComponentFiles {
  WeightVariant variant;
  std::string single;        ///< e.g. "diffusion_pytorch_model.fp16.safetensors"
  std::string index;         ///< e.g. "diffusion_pytorch_model.safetensors.index.fp16.json"
  std::string shard_prefix;  ///< beginning of the shards' names, e.g. "diffusion_pytorch_model"
};

/// The files of one variant of `stem`, as safetensors and as .bin files of torch.save.
ComponentFiles safetensors_files(const std::string& stem, WeightVariant variant);
ComponentFiles torch_bin_files(const std::string& stem, WeightVariant variant);

/// The name of the first of the two files that the folder holds; none if it holds neither.
std::optional<std::string> find_component_file(const std::string& folder, const ComponentFiles& files);

}  // namespace easel
