#include "checkpoints/assembled.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "checkpoints/component_file.h"
#include "checkpoints/layouts/denoiser_file.h"
#include "checkpoints/single_file_configs.h"
#include "core/text.h"
#include "easel/error.h"
#include "weights/stores/ignored_tensors.h"

namespace easel {
namespace {

namespace fs = std::filesystem;

constexpr char kConfigsRole[] = "configs";

/// What a checkpoint is assembled from.
struct Parts {
  std::string name;                               ///< of the checkpoint, for messages
  std::map<Component, std::string> classes;       ///< of its components
  std::map<Component, std::string> paths;         ///< file or folder of each that is given
  std::map<Component, std::string> prefixes;      ///< of tensors, for components whose file holds others, too
  std::string configs;                            ///< folder in diffusers' layout for what is not given; empty: none
  std::map<Component, nlohmann::json> published;  ///< configs of components that no file or folder has
  CheckpointOptions options;
};

/// The folder itself or, for a whole checkpoint, that of the component in it.
std::string component_folder(const std::string& path, Component component) {
  const auto inner = fs::path(path) / component_name(component);
  return fs::is_directory(inner) && !fs::exists(fs::path(path) / "config.json") ? inner.string() : path;
}

class AssembledSource : public CheckpointSource {
 public:
  explicit AssembledSource(Parts parts) : parts_(std::move(parts)) {
    if (!parts_.configs.empty()) {
      if (!fs::is_directory(parts_.configs)) {
        throw Error(ErrorCode::kNotFound,
                    concat(parts_.name, ": the folder of `configs`, ", parts_.configs, ", does not exist"));
      }
      base_ = open_folder_source(parts_.configs, parts_.options.ignored_tensors, parts_.options.variant);
    }
    for (const auto& [component, path] : parts_.paths) {
      if (fs::exists(path)) continue;
      throw Error(ErrorCode::kNotFound,
                  concat(parts_.name, ": `", component_name(component), "`, ", path, ", does not exist"));
    }
  }

  Config config(Component component) const override {
    const auto path = path_of(component);
    if (!path.empty() && fs::is_directory(path)) {
      const auto file = component_folder(path, component) + "/config.json";
      return Config::read_file(file, file);
    }
    if (in_base(component)) return base_->config(component);
    const auto where = concat(parts_.name, " (", component_name(component), ")");
    if (is_scheduler(component)) return {parts_.published.at(component), where};
    return {file_of(component).config(), concat(path, " (", component_name(component), ")")};
  }

  std::shared_ptr<const TensorStore> weights(Component component) const override {
    const auto path = path_of(component);
    if (path.empty()) {
      if (in_base(component)) return base_->weights(component);
      throw missing(component);
    }
    if (!fs::is_directory(path)) return file_of(component).weights();
    return without_ignored(open_component_folder(component_folder(path, component), component, parts_.options.variant),
                           parts_.options.ignored_tensors);
  }

  std::unique_ptr<Tokenizer> tokenizer(Component component) const override {
    if (const auto folder = tokenizer_folder(component); !folder.empty()) return load_clip_tokenizer(folder);
    // The second of CLIP's encoders is OpenCLIP's, whose prompts are padded with another token.
    return make_clip_tokenizer(component == Component::kTokenizer2 ? ClipPadding::kExclamation
                                                                   : ClipPadding::kEndOfText);
  }

  std::unique_ptr<TextTokenizer> text_tokenizer(Component component, TextTokenizerKind kind,
                                                std::int64_t vocab_size) const override {
    const auto folder = tokenizer_folder(component);
    if (folder.empty()) {
      throw Error(ErrorCode::kNotFound,
                  concat(parts_.name, ": the text encoder's tokenizer is missing; name its folder as `",
                         component_name(component), "`, or a folder with the model's configs as `configs`, with ",
                         "--component NAME.ROLE=PATH or in the manifest's `components`"));
    }
    return kind == TextTokenizerKind::kQwen ? load_qwen_tokenizer(folder, vocab_size)
                                            : load_t5_tokenizer(folder, vocab_size);
  }

 private:
  std::string path_of(Component component) const {
    const auto found = parts_.paths.find(component);
    return found == parts_.paths.end() ? "" : found->second;
  }
  bool in_base(Component component) const {
    return base_ != nullptr && fs::is_directory(fs::path(parts_.configs) / component_name(component));
  }
  Error missing(Component component) const {
    return {ErrorCode::kNotFound,
            concat(parts_.name, " has no `", component_name(component), "` (", parts_.classes.at(component),
                   "); name a file or folder with --component NAME.", component_name(component),
                   "=PATH, or in the manifest's `components`")};
  }

  ComponentFile file_of(Component component) const {
    const auto path = path_of(component);
    if (path.empty()) throw missing(component);
    const auto file = open_tensor_file(path);
    const auto& class_name = parts_.classes.at(component);
    const auto known = parts_.prefixes.find(component);
    const auto prefix =
        known != parts_.prefixes.end() ? std::optional(known->second) : find_in_file(NameSet(*file), class_name);
    const auto published = parts_.published.find(component);
    return {file, prefix.value_or(""), class_name,
            published == parts_.published.end() ? nlohmann::json::object() : published->second,
            parts_.options.ignored_tensors};
  }

  /// The first folder that has a tokenizer's files: the named folder, that of the configs, and the folders next to the
  /// text encoder's files.
  std::string tokenizer_folder(Component tokenizer) const {
    std::vector<fs::path> folders;
    if (const auto named = path_of(tokenizer); !named.empty()) {
      folders = {fs::path(named) / component_name(tokenizer), named};
    } else {
      if (!parts_.configs.empty()) folders.push_back(fs::path(parts_.configs) / component_name(tokenizer));
      for (const auto& [component, path] : parts_.paths) {
        if (!is_text_encoder(component) || tokenizer_of(component) != tokenizer) continue;
        const auto folder = fs::is_directory(path) ? fs::path(path) : fs::path(path).parent_path();
        folders.insert(folders.end(),
                       {folder / component_name(tokenizer), folder.parent_path() / component_name(tokenizer), folder});
      }
    }
    for (const auto& folder : folders) {
      for (const char* file : {"tokenizer.json", "vocab.json", "spiece.model"}) {
        if (fs::exists(folder / file)) return folder.string();
      }
    }
    return "";
  }

  Parts parts_;
  std::shared_ptr<const CheckpointSource> base_;  // of parts_.configs
};

const DenoiserFile* find_denoiser_file(const NameSet& names) {
  const auto files = denoiser_files();
  const auto found = std::ranges::find_if(
      files, [&](const DenoiserFile& file) { return find_in_file(names, file.denoiser_class).has_value(); });
  return found == files.end() ? nullptr : &*found;
}

/// The classes of a family's components; encoders that may be absent only where they are given.
std::map<Component, std::string> classes_of(const DenoiserFile& family) {
  std::map<Component, std::string> classes{{Component::kTransformer, family.denoiser_class},
                                           {Component::kVae, family.vae_class},
                                           {Component::kScheduler, "FlowMatchEulerDiscreteScheduler"}};
  for (const auto& text : family.text_encoders) {
    classes[text.component] = text.class_name;
    classes[tokenizer_of(text.component)] = text.tokenizer_class;
  }
  return classes;
}

/// Sets the paths that roles name.
void take_paths(Parts& parts, const std::map<std::string, std::string>& paths) {
  for (const auto& [role, path] : paths) {
    if (role == kConfigsRole) {
      parts.configs = path;
    } else {
      parts.paths[component_of_role(role, parts.classes)] = path;
    }
  }
}

/// Components that the denoiser's own file holds.
void take_own_parts(Parts& parts, const DenoiserFile& family, const std::string& path, const NameSet& names) {
  parts.paths[Component::kTransformer] = path;
  for (const auto& text : family.text_encoders) {
    if (parts.paths.contains(text.component) || text.prefix == nullptr || !names.has_prefix(text.prefix)) continue;
    parts.paths[text.component] = path;
    parts.prefixes[text.component] = text.prefix;
  }
  const auto vae = find_vae(names);
  if (parts.paths.contains(Component::kVae) || !vae) return;
  parts.paths[Component::kVae] = path;
  parts.prefixes[Component::kVae] = *vae;
}

void leave_out_absent(Parts& parts, const DenoiserFile& family) {
  for (const auto& text : family.text_encoders) {
    const bool in_configs =
        !parts.configs.empty() && fs::is_directory(fs::path(parts.configs) / component_name(text.component));
    if (!text.may_be_absent || parts.paths.contains(text.component) || in_configs) continue;
    parts.classes.erase(text.component);
    parts.classes.erase(tokenizer_of(text.component));
  }
}

}  // namespace

Component component_of_role(const std::string& role, const std::map<Component, std::string>& classes) {
  const auto is_clip = [](const std::string& class_name) { return class_name.starts_with("CLIPText"); };
  std::vector<std::string> roles{kConfigsRole};
  for (const auto& [component, class_name] : classes) {
    if (is_scheduler(component)) continue;
    std::string own;
    if (class_name.starts_with("T5")) own = "t5";
    if (class_name.starts_with("Qwen3")) own = "qwen";
    if (is_text_encoder(component) && is_clip(class_name))
      own = component == Component::kTextEncoder ? "clip_l" : "clip_g";
    if (!is_text_encoder(component)) own.clear();
    if (role == component_name(component) || (!own.empty() && role == own)) return component;
    roles.push_back(own.empty() ? component_name(component) : own);
  }
  throw Error(ErrorCode::kInvalidArgument, concat("the model has no component `", role, "`; it has ", join(roles)));
}

bool is_denoiser_file(const NameSet& names) {
  return find_denoiser_file(names) != nullptr;
}

void replace_components(Checkpoint& checkpoint, const std::map<std::string, std::string>& paths,
                        const CheckpointOptions& options) {
  if (paths.empty()) return;
  Parts parts{.name = checkpoint.path,
              .classes = checkpoint.components,
              .paths = {},
              .prefixes = {},
              .configs = checkpoint.path,
              .published = {},
              .options = options};
  if (parts.options.variant.empty()) parts.options.variant = checkpoint.manifest.variant;
  take_paths(parts, paths);
  for (const auto& [component, path] : parts.paths) {
    const auto tokenizer_or_folder =
        !is_denoising_model(component) && !is_text_encoder(component) && component != Component::kVae;
    if (tokenizer_or_folder || fs::is_directory(path) || is_read_from_files(parts.classes.at(component))) continue;
    throw Error(ErrorCode::kUnsupported, concat(path, ": easel reads a ", parts.classes.at(component),
                                                " from a folder in diffusers' layout, not from a file"));
  }
  checkpoint.source = std::make_shared<AssembledSource>(std::move(parts));
}

Checkpoint open_denoiser_file(const std::string& path, const Manifest& manifest,
                              const std::map<std::string, std::string>& paths, const CheckpointOptions& options) {
  const auto file = open_tensor_file(path);
  const NameSet names(*file);
  const auto* family = find_denoiser_file(names);
  if (family == nullptr) {
    throw Error(ErrorCode::kUnsupported,
                concat(path, " does not hold a denoising model that easel reads from such a file, as the ",
                       "names of its tensors show"));
  }
  Parts parts{.name = path,
              .classes = classes_of(*family),
              .paths = {},
              .prefixes = {},
              .configs = manifest.single_file.configs,
              .published = {},
              .options = options};
  take_paths(parts, paths);
  take_own_parts(parts, *family, path, names);
  leave_out_absent(parts, *family);
  const ComponentFile denoiser(file, find_in_file(names, family->denoiser_class).value(), family->denoiser_class, {},
                               options.ignored_tensors);
  const auto weights = denoiser.weights();
  parts.published = {{Component::kScheduler, family->scheduler(*weights)}, {Component::kVae, family->vae}};
  Checkpoint checkpoint;
  checkpoint.path = checkpoint.index = path;
  checkpoint.class_name = family->class_name;
  checkpoint.components = parts.classes;
  checkpoint.manifest = manifest;
  checkpoint.prediction_source = "its family";
  if (family->settings != nullptr) checkpoint.settings = family->settings(*weights);
  const auto index = parts.configs + "/model_index.json";
  if (!parts.configs.empty() && fs::exists(index)) checkpoint.read_pipeline(Config::read_file(index, index));
  checkpoint.source = std::make_shared<AssembledSource>(std::move(parts));
  return checkpoint;
}

}  // namespace easel
