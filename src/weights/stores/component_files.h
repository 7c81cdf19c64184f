// Which files of a component folder hold its weights.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

namespace easel {

/// One way in which a component may be stored. Names are those of diffusers 0.42.1 and transformers 5.23.0.
struct ComponentFiles {
  std::string single;        ///< e.g. "diffusion_pytorch_model.fp16.safetensors"
  std::string index;         ///< e.g. "diffusion_pytorch_model.safetensors.index.fp16.json"
  std::string shard_prefix;  ///< beginning of the shards' names, e.g. "diffusion_pytorch_model"
};

/// In half precision: the variants that are read, in this order, where a folder lacks the plain files.
inline constexpr std::array kHalfVariants = {"fp16", "bf16"};

/// The files of one variant of `stem`, as safetensors and as .bin files of torch.save. A variant is a word in the names
/// of the files ("fp16", "bf16", "non_ema"), by which a folder holds several sets of weights; empty: no such word.
ComponentFiles safetensors_files(const std::string& stem, const std::string& variant);
ComponentFiles torch_bin_files(const std::string& stem, const std::string& variant);

/// The name of the GGUF file of one variant of `stem`: "model.q8_0.gguf".
std::string gguf_file(const std::string& stem, const std::string& variant);

/// The variants of which a folder holds safetensors or GGUF files of `stem`, sorted; the plain files are the empty one.
std::vector<std::string> find_variants(const std::string& folder, const std::string& stem);

/// The name of the first of the two files that the folder holds; none if it holds neither.
std::optional<std::string> find_component_file(const std::string& folder, const ComponentFiles& files);

}  // namespace easel
