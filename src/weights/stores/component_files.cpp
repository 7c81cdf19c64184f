#include "weights/stores/component_files.h"

#include <filesystem>

namespace easel {
namespace {

ComponentFiles files_of(const std::string& stem, const std::string& extension, WeightVariant variant) {
  const std::string infix = variant == WeightVariant::kHalf ? ".fp16" : "";
  return {.variant = variant,
          .single = stem + infix + extension,
          .index = stem + extension + ".index" + infix + ".json",
          .shard_prefix = stem};
}

}  // namespace

ComponentFiles safetensors_files(const std::string& stem, WeightVariant variant) {
  return files_of(stem, ".safetensors", variant);
}

ComponentFiles torch_bin_files(const std::string& stem, WeightVariant variant) {
  // transformers uses another stem for .bin files than for safetensors.
  return files_of(stem == "model" ? "pytorch_model" : stem, ".bin", variant);
}

std::optional<std::string> find_component_file(const std::string& folder, const ComponentFiles& files) {
  for (const auto& name : {files.single, files.index}) {
    std::error_code ignored;  // a folder that cannot be searched counts as empty
    // A dangling link counts as present, so that opening it reports what is wrong with it.
    const auto status = std::filesystem::symlink_status(std::filesystem::path(folder) / name, ignored);
    if (std::filesystem::exists(status)) return name;
  }
  return std::nullopt;
}

}  // namespace easel
