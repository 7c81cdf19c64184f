#include "checkpoints/checkpoint.h"

#include <filesystem>
#include <fstream>

#include "checkpoints/assembled.h"
#include "checkpoints/model_search.h"
#include "checkpoints/single_file.h"
#include "core/config.h"
#include "core/text.h"
#include "weights/format/file_names.h"
#include "weights/stores/safetensors.h"

namespace easel {
namespace {

namespace fs = std::filesystem;

enum class CheckpointKind { kFolder, kFile };

void read_single_file_overrides(Config& config, SingleFileOverrides& overrides) {
  overrides.configs = config.get<std::string>("configs", "");
  overrides.text_encoder = config.get<std::string>("text_encoder", "");
  overrides.text_encoder_2 = config.get<std::string>("text_encoder_2", "");
  config.require("prediction_type", {"epsilon", "v_prediction"});
  overrides.prediction_type = config.get<std::string>("prediction_type", "");
}

Manifest read_manifest(const std::string& path, CheckpointKind kind) {
  Manifest manifest;
  std::error_code unknown;
  if (!fs::exists(path, unknown) && !unknown) return manifest;
  Config config = Config::read_file(path, path);
  config.ignore({"name"});
  manifest.licence = config.get<std::string>("licence", "");
  if (const auto size = config.find<std::string>("native_size")) {
    manifest.native_size = parse_size(*size);
    if (!manifest.native_size) {
      throw Error(ErrorCode::kCorruptData, concat(path, ": `native_size` is \"", *size, "\", expected WIDTHxHEIGHT"));
    }
  }
  manifest.refiner = config.get<std::string>("refiner", "");
  manifest.vae = config.get<std::string>("vae", "");
  if (kind == CheckpointKind::kFolder) manifest.variant = config.get<std::string>("variant", "");
  if (const auto tile = config.find<std::int64_t>("upscale_tile")) {
    constexpr std::int64_t kMaxTile = 1 << 14;
    if (*tile < 1 || *tile > kMaxTile) {
      throw Error(ErrorCode::kCorruptData, concat(path, ": `upscale_tile` is ", *tile, ", expected 1 to ", kMaxTile));
    }
    manifest.upscale_tile = static_cast<int>(*tile);
  }
  manifest.native_size_only = config.get<bool>("native_size_only", false);
  if (config.has("defaults")) {
    Config defaults(config.raw("defaults"), path + ": defaults");
    manifest.num_inference_steps = defaults.find<std::int64_t>("num_inference_steps");
    manifest.guidance_scale = defaults.find<double>("guidance_scale");
    manifest.denoising_end = defaults.find<double>("denoising_end");
    manifest.scheduler = defaults.get<std::string>("scheduler", "");
    defaults.finish();
  }
  if (config.has("components")) {
    Config components(config.raw("components"), path + ": components");
    for (const auto& [role, file] : components.object().items()) {
      manifest.components[role] = components.get<std::string>(role);
    }
  }
  if (kind == CheckpointKind::kFile) read_single_file_overrides(config, manifest.single_file);
  config.finish();
  return manifest;
}

/// Resolves a path in the manifest against its folder; empty stays empty.
std::string resolve_from(const fs::path& folder, const std::string& path) {
  return path.empty() ? "" : (folder / path).lexically_normal().string();
}

/// The name of the autoencoder's file next to a checkpoint, NAME.vae.safetensors, as AUTOMATIC1111's web UI looks for
/// it; empty if there is none.
/// @throws Error(kUnsupported)  it is a pickle
std::string own_vae_file(const std::string& path) {
  const auto stem = fs::path(path).replace_extension();
  std::error_code unknown;
  for (const char* extension : {".vae.safetensors", ".vae.sft"}) {
    if (fs::exists(stem.string() + extension, unknown)) return stem.filename().string() + extension;
  }
  for (const char* extension : {".vae.pt", ".vae.ckpt"}) {
    const auto pickle = stem.string() + extension;
    if (!fs::exists(pickle, unknown)) continue;
    throw Error(ErrorCode::kUnsupported,
                concat(pickle, " is the model's autoencoder as a pickle, which can run code when it is loaded; make ",
                       stem.string(), ".vae.safetensors of it with `easel convert ", pickle, "`"));
  }
  return "";
}

/// Those of the manifest, resolved against its folder, and those of the options in their place.
std::map<std::string, std::string> given_components(const Manifest& manifest, const fs::path& folder,
                                                    const CheckpointOptions& options) {
  std::map<std::string, std::string> given = options.components;
  for (const auto& [role, path] : manifest.components) given.emplace(role, resolve_from(folder, path));
  return given;
}

/// The components of a file that holds Stable Diffusion, which has fields of its own for them.
void take_overrides(const std::string& path, const std::map<std::string, std::string>& components, Manifest& manifest) {
  auto& overrides = manifest.single_file;
  const std::map<std::string, std::string*> fields{
      {"configs", &overrides.configs},       {"text_encoder", &overrides.text_encoder},
      {"clip_l", &overrides.text_encoder},   {"text_encoder_2", &overrides.text_encoder_2},
      {"clip_g", &overrides.text_encoder_2}, {"vae", &manifest.vae}};
  for (const auto& [role, given] : components) {
    const auto field = fields.find(role);
    if (field == fields.end()) {
      throw Error(ErrorCode::kInvalidArgument,
                  concat(path, ": the model has no component `", role, "`; it has configs, clip_l, clip_g, vae"));
    }
    *field->second = fs::absolute(given).string();
  }
}

Checkpoint open_file(const std::string& path, const CheckpointOptions& options) {
  if (is_pickle_name(path)) {
    throw Error(ErrorCode::kUnsupported, concat(path, " is a pickle, which can run code when it is loaded; make ",
                                                fs::path(path).replace_extension(".safetensors").string(),
                                                " of it with `easel convert ", path, "`"));
  }
  if (!is_safetensors_name(path) && !is_gguf_name(path)) {
    throw Error(ErrorCode::kUnsupported, path + " is neither a checkpoint folder nor a .safetensors or .gguf file");
  }
  auto manifest = read_manifest(fs::path(path).replace_extension(".easel.json").string(), CheckpointKind::kFile);
  const auto folder = fs::path(path).parent_path();
  auto& overrides = manifest.single_file;
  for (auto* part : {&overrides.configs, &overrides.text_encoder, &overrides.text_encoder_2})
    *part = resolve_from(folder, *part);
  if (options.vae.empty() && manifest.vae.empty()) manifest.vae = own_vae_file(path);
  auto components = given_components(manifest, folder, options);
  if (is_gguf_name(path) || is_denoiser_file(NameSet(SafetensorsFile(path)))) {
    auto& vae = components["vae"];
    if (vae.empty()) vae = options.vae.empty() ? resolve_from(folder, manifest.vae) : options.vae;
    if (vae.empty()) components.erase("vae");
    manifest.vae.clear();
    return open_denoiser_file(path, manifest, components, options);
  }
  take_overrides(path, components, manifest);
  return open_single_file(path, manifest, options.ignored_tensors);
}

Checkpoint open_folder(const std::string& given, const CheckpointOptions& options) {
  const auto path = hub_snapshot(given);
  if (!fs::is_directory(path)) throw Error(ErrorCode::kNotFound, concat("model ", path, " does not exist"));
  Checkpoint folder;
  folder.path = path;
  folder.index = folder.file("model_index.json");
  const auto& index = folder.index;
  std::error_code unknown;
  if (!fs::exists(index, unknown) && !unknown) {
    throw Error(ErrorCode::kNotFound, concat("model folder ", path,
                                             " has no model_index.json; easel reads checkpoints in diffusers' layout"));
  }
  const Config config = Config::read_file(index, index);
  folder.read_pipeline(config);
  for (const auto& [key, value] : config.object().items()) {
    const bool pair = value.is_array() && value.size() == 2;
    const auto component = find_component(key);
    if (component && pair && value[0].is_string() && value[1].is_string()) {
      folder.components[*component] = value[1].get<std::string>();
    }
  }
  if (folder.class_name.empty()) throw Error(ErrorCode::kCorruptData, concat(index, ": `_class_name` is missing"));
  folder.manifest = read_manifest(folder.file("easel.json"), CheckpointKind::kFolder);
  const auto& variant = options.variant.empty() ? folder.manifest.variant : options.variant;
  if (!variant.empty()) require_variant(path, variant);
  folder.source = open_folder_source(path, options.ignored_tensors, variant);
  folder.prediction_source = "its scheduler_config.json";
  return folder;
}

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(" \t\r\"'");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t\r\"'") - first + 1);
}

/// Opens a regular file. A pipe would block.
std::ifstream open_text(const std::string& path) {
  std::error_code unknown;
  return fs::is_regular_file(path, unknown) ? std::ifstream(path) : std::ifstream();
}

/// `license:` of a model card: YAML between two lines of three dashes. "other" is explained by `license_name`.
std::string card_licence(const std::string& path) {
  auto card = open_text(path);
  std::string line, licence, name;
  if (!std::getline(card, line) || trimmed(line) != "---") return "";
  while (std::getline(card, line) && trimmed(line) != "---") {
    if (line.starts_with("license:")) licence = trimmed(line.substr(8));
    if (line.starts_with("license_name:")) name = trimmed(line.substr(13));
  }
  return licence == "other" && !name.empty() ? name : licence;
}

}  // namespace

Checkpoint Checkpoint::open(const std::string& path, const CheckpointOptions& options) {
  auto checkpoint = fs::is_regular_file(path) ? open_file(path, options) : open_folder(path, options);
  if (fs::is_directory(checkpoint.path)) {
    const auto components = given_components(checkpoint.manifest, checkpoint.path, options);
    replace_components(checkpoint, components, options);
  }
  const auto& vae = options.vae;
  const bool is_denoiser = !checkpoint.components.contains(Component::kUnet) && !fs::is_directory(checkpoint.path);
  const auto other = vae.empty() ? resolve_from(checkpoint.resolve(""), checkpoint.manifest.vae) : vae;
  if (!other.empty() && !is_denoiser) checkpoint.source = with_vae(checkpoint.source, other, options.ignored_tensors);
  if (!options.preview_vae.empty()) {
    checkpoint.preview_source = with_vae(checkpoint.source, options.preview_vae, options.ignored_tensors);
  }
  if (options.quantization) checkpoint.source = with_quantization(checkpoint.source, *options.quantization);
  return checkpoint;
}

std::string Checkpoint::resolve(const std::string& relative) const {
  const auto folder = fs::is_directory(path) ? fs::path(path) : fs::path(path).parent_path();
  return (folder / relative).lexically_normal().string();
}

void Checkpoint::read_pipeline(const Config& model_index) {
  for (const auto& [key, value] : model_index.object().items()) {
    if (key == "_class_name" && value.is_string()) class_name = value.get<std::string>();
    if (value.is_primitive() && !value.is_null()) settings[key] = value;  // components are lists
  }
}

void Checkpoint::require(Component component, const std::string& expected) const {
  const auto found = components.find(component);
  if (found == components.end()) {
    throw Error(ErrorCode::kCorruptData, concat(index, ": `", component_name(component), "` is missing or null"));
  }
  if (found->second != expected) {
    throw Error(ErrorCode::kUnsupported, concat(index, ": `", component_name(component), "` is a ", found->second,
                                                "; easel supports ", expected));
  }
}

std::string find_licence(const Checkpoint& folder) {
  if (!folder.manifest.licence.empty()) return folder.manifest.licence;
  if (auto licence = card_licence(folder.file("README.md")); !licence.empty()) return licence;
  for (const char* name : {"LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE"}) {
    auto file = open_text(folder.file(name));
    for (std::string line; std::getline(file, line);) {
      if (auto text = trimmed(line); !text.empty()) return text.substr(0, 80);
    }
  }
  return "";
}

}  // namespace easel
