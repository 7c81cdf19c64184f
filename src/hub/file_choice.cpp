#include "hub/file_choice.h"

#include <algorithm>
#include <map>
#include <set>

#include "core/text.h"
#include "easel/error.h"

namespace easel::hub {
namespace {

constexpr const char* kUnusedFolders[] = {"safety_checker", "feature_extractor"};
constexpr const char* kSmallFiles[] = {"config.json",       "scheduler_config.json",   "vocab.json",
                                       "merges.txt",        "tokenizer.json",          "tokenizer_config.json",
                                       "added_tokens.json", "special_tokens_map.json", "spiece.model"};

template <class Names>
bool contains(const Names& names, const std::string& name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

bool is_kept_root_file(const std::string& name) {
  return name == "model_index.json" || name == "README.md" || name.starts_with("LICENSE") ||
         name.starts_with("LICENCE") || name.starts_with("NOTICE");
}

/// One way to store the weights of a component.
struct WeightFormat {
  const char* stem;
  const char* extension;
  bool half;
};

/// The files of a component that hold its weights in this format: one file, or an index with its shards; empty when
/// the component does not have it.
std::vector<RemoteFile> weight_files(const std::map<std::string, RemoteFile>& component, const WeightFormat& format) {
  const std::string infix = format.half ? ".fp16" : "";
  const auto single = component.find(concat(format.stem, infix, format.extension));
  if (single != component.end()) return {single->second};
  const auto index = component.find(concat(format.stem, format.extension, ".index", infix, ".json"));
  if (index == component.end()) return {};
  std::vector<RemoteFile> files = {index->second};
  for (const auto& [name, file] : component) {
    const bool is_half = name.find(".fp16") != std::string::npos;
    const bool is_shard =
        name.starts_with(format.stem) && name.ends_with(format.extension) && name.find("-of-") != std::string::npos;
    if (is_shard && is_half == format.half) files.push_back(file);
  }
  return files;
}

std::vector<RemoteFile> best_weights(const std::map<std::string, RemoteFile>& component, bool prefer_half) {
  for (const char* extension : {".safetensors", ".bin"}) {
    const bool is_pickle = std::string(extension) == ".bin";
    for (const bool half : {prefer_half, !prefer_half}) {
      for (const char* stem : {"diffusion_pytorch_model", is_pickle ? "pytorch_model" : "model"}) {
        auto files = weight_files(component, {.stem = stem, .extension = extension, .half = half});
        if (!files.empty()) return files;
      }
    }
  }
  return {};
}

Error no_model(const std::map<std::string, RemoteFile>& root) {
  std::vector<std::string> singles;
  for (const auto& [name, file] : root) {
    if (name.ends_with(".safetensors") && singles.size() < 5) singles.push_back(name);
  }
  return {ErrorCode::kNotFound,
          concat("there is no model_index.json, so this is not a model in the layout of diffusers",
                 singles.empty() ? "" : concat("; name one of its files after a colon, e.g. :", join(singles, ", :")))};
}

}  // namespace

std::vector<RemoteFile> choose_model_files(const std::vector<RemoteFile>& files, const std::string& folder,
                                           bool prefer_half, const std::vector<std::string>& without) {
  std::map<std::string, std::map<std::string, RemoteFile>> folders;  // by component and name; "" is the root
  const auto prefix = folder.empty() ? "" : folder + "/";
  for (const auto& file : files) {
    if (!file.path.starts_with(prefix)) continue;
    const auto path = file.path.substr(prefix.size());
    const auto slash = path.find('/');
    const auto component = slash == std::string::npos ? "" : path.substr(0, slash);
    const auto name = path.substr(slash == std::string::npos ? 0 : slash + 1);
    if (name.find('/') == std::string::npos) folders[component][name] = file;
  }
  if (!folders[""].contains("model_index.json")) throw no_model(folders[""]);
  std::vector<RemoteFile> chosen;
  for (const auto& [component, contents] : folders) {
    if (contains(kUnusedFolders, component)) continue;
    bool is_component = false;
    for (const auto& [name, file] : contents) {
      const bool small = component.empty() ? is_kept_root_file(name) : contains(kSmallFiles, name);
      if (small) chosen.push_back(file);
      is_component = is_component || (small && !component.empty());
    }
    if (!is_component || contains(without, component)) continue;
    const auto weights = best_weights(contents, prefer_half);
    chosen.insert(chosen.end(), weights.begin(), weights.end());
  }
  return chosen;
}

}  // namespace easel::hub
