#include "weights/stores/component_files.h"

#include <filesystem>
#include <set>

#include "core/text.h"

namespace easel {
namespace {

ComponentFiles files_of(const std::string& stem, const std::string& extension, const std::string& variant) {
  const std::string infix = variant.empty() ? "" : "." + variant;
  return {
      .single = stem + infix + extension, .index = stem + extension + ".index" + infix + ".json", .shard_prefix = stem};
}

}  // namespace

ComponentFiles safetensors_files(const std::string& stem, const std::string& variant) {
  return files_of(stem, ".safetensors", variant);
}

ComponentFiles torch_bin_files(const std::string& stem, const std::string& variant) {
  // transformers uses another stem for .bin files than for safetensors.
  return files_of(stem == "model" ? "pytorch_model" : stem, ".bin", variant);
}

std::string gguf_file(const std::string& stem, const std::string& variant) {
  return concat(stem, variant.empty() ? "" : ".", variant, ".gguf");
}

std::vector<std::string> find_variants(const std::string& folder, const std::string& stem) {
  const std::string extension = ".safetensors", index = stem + extension + ".index", end = ".json";
  // What stands between two parts of a name: a dot and a variant, or nothing.
  const auto between = [](const std::string& name, const std::string& before, const std::string& after) {
    const bool fits = name.size() >= before.size() + after.size() && name.starts_with(before) && name.ends_with(after);
    return fits ? std::optional(name.substr(before.size(), name.size() - before.size() - after.size())) : std::nullopt;
  };
  std::set<std::string> found;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const auto name = entry.path().filename().string();
    auto infix = between(name, index, end);
    if (!infix) infix = between(name, stem, extension);
    if (!infix) infix = between(name, stem, ".gguf");
    if (infix && infix->find("-of-") != std::string::npos) continue;  // a shard, which an index names
    if (infix && (infix->empty() || infix->starts_with('.'))) found.insert(infix->substr(infix->empty() ? 0 : 1));
  }
  return {found.begin(), found.end()};
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
