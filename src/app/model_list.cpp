#include "app/model_list.h"

#include <algorithm>
#include <filesystem>

#include "core/log.h"
#include "core/text.h"
#include "pipelines/registry.h"
#include "tensor/component_offloader.h"

namespace easel {
namespace {

namespace fs = std::filesystem;

/// "name=path" as name and path; a mere path has no name.
std::pair<std::string, std::string> split_name(const std::string& text) {
  const auto equals = text.find('=');
  if (equals == std::string::npos || fs::exists(text)) return {"", text};
  return {text.substr(0, equals), text.substr(equals + 1)};
}

/// The id and the path of a model: "alias=path", or "path", whose last part is then the id.
std::pair<std::string, std::string> split_alias(const std::string& text) {
  auto [id, path] = split_name(text);
  if (id.empty()) id = checkpoint_name(path);
  return {std::move(id), std::move(path)};
}

/// What --vae says for a model: what was given for it by name, else what was given for all.
std::string vae_path_for(const std::string& id, const std::vector<std::string>& given) {
  std::string for_all;
  for (const auto& text : given) {
    const auto [name, path] = split_name(text);
    if (name == id) return path;
    if (name.empty()) for_all = path;
  }
  return for_all;
}

std::vector<ServedModel>::iterator find_id(std::vector<ServedModel>& models, const std::string& id) {
  return std::find_if(models.begin(), models.end(), [&](const auto& m) { return m.description.id == id; });
}

void add_directory(const std::string& directory, const std::vector<std::string>& vaes, const PipelineOptions& options,
                   std::vector<ServedModel>& models) {
  for (const auto& path : find_checkpoints(directory)) {
    const auto id = checkpoint_name(path);
    const auto known = find_id(models, id);
    if (known != models.end()) {
      // --model may have named this one already.
      if (!fs::equivalent(known->description.folder, path)) {
        log::warning(concat(path, " is left out: another model is called ", id));
      }
      continue;
    }
    try {
      models.push_back(open_model(id, path, options, vae_path_for(id, vaes)));
    } catch (const Error& e) {
      log::warning(concat("model ", id, " is left out: ", e.what()));
    }
  }
}

Placement make_model_placement(const ModelOptions& options) {
  auto placement = make_placement(list_devices(options).front(), options.dtype);
  if (options.weights_dtype == "stored") placement.storage = WeightStorage::kStored;
  placement.release_text_encoders = options.release_text_encoders;
  return placement;
}

VaeTiling parse_vae_tiling(const ModelOptions& options) {
  return options.vae_tiling == "on" ? VaeTiling::kOn : options.vae_tiling == "off" ? VaeTiling::kOff : VaeTiling::kAuto;
}

/// @param flag  that named the id, for the message
std::vector<ServedModel>::iterator find(const char* flag, const std::string& id, std::vector<ServedModel>& models) {
  const auto found = find_id(models, id);
  if (found != models.end()) return found;
  std::vector<std::string> ids;
  for (const auto& m : models) ids.push_back(m.description.id);
  throw Error(ErrorCode::kNotFound, concat(flag, " ", id, " is not among the models: ", join(ids)));
}

}  // namespace

std::vector<std::string> list_devices(const ModelOptions& options) {
  std::vector<std::string> names;
  for (const auto& name : options.devices) {
    const auto device = make_placement(name, options.dtype).device;
    names.push_back(device.str());
    if (std::count(names.begin(), names.end(), names.back()) > 1) {
      throw Error(ErrorCode::kInvalidArgument, concat("--device names ", names.back(), " twice"));
    }
    if (names.size() > 1 && (device.is_cpu() || names.front() == "cpu")) {
      throw Error(ErrorCode::kInvalidArgument, "--device names a CPU beside a card; several devices must be cards");
    }
  }
  if (names.empty()) throw Error(ErrorCode::kInvalidArgument, "--device names no device");
  return names;
}

std::vector<ServedModel> list_models(const ModelOptions& options) {
  if (!options.lora_dir.empty() && !fs::is_directory(options.lora_dir)) {
    throw Error(ErrorCode::kNotFound, concat("--lora-dir ", options.lora_dir, " is no folder"));
  }
  PipelineOptions pipeline_options{
      .placement = make_model_placement(options),
      .max_generations_per_step = options.max_generations_per_step,
      .vae_tiling = parse_vae_tiling(options),
      .estimate_activations = options.estimate_activations,
      .estimated_sizes = options.estimated_sizes,
      .prompt_syntax = options.prompt_syntax,
      .adapters = {.directory = options.lora_dir, .memory_bytes = static_cast<std::size_t>(options.lora_memory)}};
  if (!options.embeddings_dir.empty()) {
    pipeline_options.embeddings = std::make_shared<EmbeddingFolder>(options.embeddings_dir);
  }
  // Host memory is where a CPU's weights are anyway.
  if (auto& placement = pipeline_options.placement; options.offload == "components" && !placement.device.is_cpu()) {
    pipeline_options.offloaders = std::make_shared<ComponentOffloaders>();
    placement.offloader = pipeline_options.offloaders->of(placement.device);
  }
  std::vector<ServedModel> models;
  for (const auto& text : options.models) {
    const auto [id, path] = split_alias(text);
    if (find_id(models, id) != models.end())
      throw Error(ErrorCode::kInvalidArgument, concat("two models are called ", id, "; use alias=path"));
    models.push_back(open_model(id, path, pipeline_options, vae_path_for(id, options.vaes)));
  }
  const std::string directory =
      options.models_dir.empty() && models.empty() && fs::is_directory("models") ? "models" : options.models_dir;
  if (!directory.empty()) add_directory(directory, options.vaes, pipeline_options, models);
  if (models.empty()) {
    throw Error(ErrorCode::kNotFound, "no model to serve; give --model PATH or --models-dir FOLDER");
  }
  for (const auto& text : options.vaes) {
    if (const auto name = split_name(text).first; !name.empty()) find("--vae", name, models);
  }
  for (const auto& id : options.pinned) find("--pin", id, models)->pinned = true;
  if (!options.default_model.empty()) {
    const auto chosen = find("--default-model", options.default_model, models);
    std::rotate(models.begin(), chosen, chosen + 1);
  }
  return models;
}

}  // namespace easel
