#include "hub/file_choice.h"

#include <algorithm>
#include <map>
#include <string_view>

#include "core/text.h"
#include "easel/error.h"
#include "hub/http_client.h"
#include "hub/reference.h"

namespace easel::hub {
namespace {

/// Components that easel does not run.
constexpr const char* kUnusedComponents[] = {"safety_checker", "feature_extractor", "image_encoder"};
/// Components that are nothing without weights.
constexpr const char* kModels[] = {"unet", "transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3"};
constexpr const char* kSingleFiles[] = {".safetensors", ".sft", ".gguf"};
constexpr std::size_t kMaxNamed = 5;  // in a message
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
  std::string stem, extension, variant;  ///< the variant is empty, "fp16" or "bf16"
};

using Component = std::map<std::string, RemoteFile>;  // files by name

/// The shards of an index, which are called STEM-00001-of-00003EXTENSION and so on; empty where there are none. Sets of
/// several lengths are taken together.
/// @throws Error(kNotFound)  no set is whole
std::vector<RemoteFile> shards_of(const Component& component, const RemoteFile& index, const std::string& stem,
                                  const std::string& extension) {
  std::map<std::string, std::vector<RemoteFile>> sets;  // by the number after "-of-"
  const auto name_of = [&](std::size_t number, const std::string& count) {
    const auto digits = std::to_string(number);
    return concat(stem, "-", std::string(digits.size() < 5 ? 5 - digits.size() : 0, '0'), digits, "-of-", count,
                  extension);
  };
  for (const auto& [name, file] : component) {
    const auto of = name.find("-of-", stem.size());
    if (!name.starts_with(stem + "-") || !name.ends_with(extension) || of == std::string::npos) continue;
    sets[name.substr(of + 4, name.size() - extension.size() - of - 4)].push_back(file);
  }
  std::vector<RemoteFile> shards;
  std::string missing;
  for (const auto& [count, files] : sets) {
    std::size_t number = 1;
    while (number <= files.size() && component.contains(name_of(number, count))) ++number;
    if (number > files.size() && parse_length(count) == files.size()) {
      shards.insert(shards.end(), files.begin(), files.end());
    } else if (missing.empty()) {
      missing = name_of(number, count);
    }
  }
  if (shards.empty() && !missing.empty()) {
    throw Error(ErrorCode::kNotFound, concat("the repository has ", index.path, " but not the shard ", missing));
  }
  return shards;
}

/// The files of a component that hold its weights in this format: one file, or an index with its shards; empty when
/// the component does not have it.
std::vector<RemoteFile> weight_files(const Component& component, const WeightFormat& format) {
  const auto infix = format.variant.empty() ? "" : concat(".", format.variant);
  const auto single = component.find(concat(format.stem, infix, format.extension));
  if (single != component.end()) return {single->second};
  const auto index = component.find(concat(format.stem, format.extension, ".index", infix, ".json"));
  if (index == component.end()) return {};
  auto files = shards_of(component, index->second, format.stem + infix, format.extension);
  if (!files.empty()) files.insert(files.begin(), index->second);
  return files;
}

std::vector<RemoteFile> best_weights(const Component& component, const std::string& half_variant) {
  using Variants = std::vector<std::string>;
  const auto other = half_variant == "bf16" ? "fp16" : "bf16";
  const auto variants = half_variant.empty() ? Variants{"", "fp16", "bf16"} : Variants{half_variant, other, ""};
  for (const char* extension : {".safetensors", ".bin"}) {
    const bool is_pickle = std::string(extension) == ".bin";
    for (const auto& variant : variants) {
      for (const char* stem : {"diffusion_pytorch_model", is_pickle ? "pytorch_model" : "model"}) {
        auto files = weight_files(component, {.stem = stem, .extension = extension, .variant = variant});
        if (!files.empty()) return files;
      }
    }
  }
  return {};
}

/// Checks that a component has weights, and that none of their files is empty.
void check_weights(const std::string& component, const Component& contents, const std::vector<RemoteFile>& weights) {
  for (const auto& file : weights) {
    if (file.size == 0) throw Error(ErrorCode::kCorruptData, concat(file.path, " is empty in the repository"));
  }
  if (!weights.empty() || !contains(kModels, component)) return;
  std::vector<std::string> names;
  for (const auto& [name, file] : contents) {
    if (!contains(kSmallFiles, name) && names.size() < kMaxNamed) names.push_back(name);
  }
  throw Error(ErrorCode::kNotFound, concat("its component `", component, "` has no weights that easel reads",
                                           names.empty() ? "" : concat(", only ", join(names))));
}

bool is_single_file(const std::string& path) {
  const auto lower = lower_case(path);
  return std::any_of(std::begin(kSingleFiles), std::end(kSingleFiles),
                     [&](const char* extension) { return lower.ends_with(extension); });
}

Error no_model(const std::vector<RemoteFile>& files, const std::string& prefix) {
  constexpr std::string_view kIndex = "/model_index.json";
  std::vector<std::string> folders, singles;
  for (const auto& file : files) {
    if (!file.path.starts_with(prefix)) continue;
    const auto path = file.path.substr(prefix.size());
    if (path.ends_with(kIndex) && folders.size() < kMaxNamed) {
      folders.push_back("/" + path.substr(0, path.size() - kIndex.size()));
    } else if (is_single_file(path) && singles.size() < kMaxNamed) {
      singles.push_back(":" + path);
    }
  }
  return {ErrorCode::kNotFound,
          concat("there is no model_index.json, so this is not a model in the layout of diffusers",
                 folders.empty() ? "" : concat("; name one of its folders, e.g. ", join(folders)),
                 singles.empty() ? "" : concat("; name one of its files after a colon, e.g. ", join(singles)))};
}

std::string prefix_of(const std::string& folder) {
  return folder.empty() ? "" : folder + "/";
}

}  // namespace

const RemoteFile& find_model_index(const std::vector<RemoteFile>& files, const std::string& folder) {
  const auto path = prefix_of(folder) + "model_index.json";
  const auto found =
      std::find_if(files.begin(), files.end(), [&](const RemoteFile& file) { return file.path == path; });
  if (found == files.end()) throw no_model(files, prefix_of(folder));
  return *found;
}

std::vector<RemoteFile> choose_model_files(const std::vector<RemoteFile>& files, const WantedModel& wanted) {
  find_model_index(files, wanted.folder);
  std::map<std::string, Component> folders;  // by component and name; "" is the root
  const auto prefix = prefix_of(wanted.folder);
  for (const auto& file : files) {
    if (!file.path.starts_with(prefix)) continue;
    const auto path = file.path.substr(prefix.size());
    const auto slash = path.find('/');
    const auto component = slash == std::string::npos ? "" : path.substr(0, slash);
    const auto name = path.substr(slash == std::string::npos ? 0 : slash + 1);
    if (name.find('/') == std::string::npos) folders[component][name] = file;
  }
  std::vector<RemoteFile> chosen;
  for (const auto& [name, file] : folders[""]) {
    if (is_kept_root_file(name)) chosen.push_back(file);
  }
  for (const auto& component : wanted.components) {
    if (contains(kUnusedComponents, component)) continue;
    const auto& contents = folders[component];
    for (const auto& [name, file] : contents) {
      if (contains(kSmallFiles, name)) chosen.push_back(file);
    }
    if (contains(wanted.without, component)) continue;
    const auto weights = best_weights(contents, wanted.half_variant);
    check_weights(component, contents, weights);
    chosen.insert(chosen.end(), weights.begin(), weights.end());
  }
  return chosen;
}

}  // namespace easel::hub
