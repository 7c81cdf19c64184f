#include "app/model_list.h"

#include <algorithm>
#include <filesystem>

#include "core/log.h"
#include "core/text.h"
#include "pipelines/registry.h"

namespace easel {
namespace {

namespace fs = std::filesystem;

/// "alias=folder" or "folder", whose last part is then the id.
std::pair<std::string, std::string> split_alias(const std::string& text) {
  const auto equals = text.find('=');
  if (equals != std::string::npos && !fs::exists(text)) return {text.substr(0, equals), text.substr(equals + 1)};
  auto path = fs::path(text).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  return {path.filename() == "." || path.filename() == ".." ? fs::canonical(path).filename().string()
                                                            : path.filename().string(),
          text};
}

bool has_id(const std::vector<ServedModel>& models, const std::string& id) {
  return std::any_of(models.begin(), models.end(), [&](const auto& m) { return m.description.id == id; });
}

void add_directory(const std::string& directory, const PipelineOptions& options, std::vector<ServedModel>& models) {
  for (const auto& folder : find_checkpoints(directory)) {
    const auto id = fs::path(folder).filename().string();
    if (has_id(models, id)) continue;  // --model has already named it
    try {
      models.push_back(open_model(id, folder, options));
    } catch (const Error& e) {
      log::warning(concat("model ", id, " is left out: ", e.what()));
    }
  }
}

/// @param flag  that named the id, for the message
std::vector<ServedModel>::iterator find(const char* flag, const std::string& id, std::vector<ServedModel>& models) {
  const auto found = std::find_if(models.begin(), models.end(), [&](const auto& m) { return m.description.id == id; });
  if (found != models.end()) return found;
  std::vector<std::string> ids;
  for (const auto& m : models) ids.push_back(m.description.id);
  throw Error(ErrorCode::kNotFound, concat(flag, " ", id, " is not among the models: ", join(ids)));
}

}  // namespace

std::vector<ServedModel> list_models(const ModelOptions& options) {
  if (!options.lora_dir.empty() && !fs::is_directory(options.lora_dir)) {
    throw Error(ErrorCode::kNotFound, concat("--lora-dir ", options.lora_dir, " is no folder"));
  }
  const PipelineOptions pipeline_options{
      .placement = make_placement(options.device, options.dtype),
      .max_generations_per_step = options.max_generations_per_step,
      .adapters = {.directory = options.lora_dir, .memory_bytes = static_cast<std::size_t>(options.lora_memory)}};
  std::vector<ServedModel> models;
  for (const auto& text : options.models) {
    const auto [id, folder] = split_alias(text);
    if (has_id(models, id))
      throw Error(ErrorCode::kInvalidArgument, concat("two models are called ", id, "; use alias=folder"));
    models.push_back(open_model(id, folder, pipeline_options));
  }
  const std::string directory =
      options.models_dir.empty() && models.empty() && fs::is_directory("models") ? "models" : options.models_dir;
  if (!directory.empty()) add_directory(directory, pipeline_options, models);
  if (models.empty()) {
    throw Error(ErrorCode::kNotFound, "no model to serve; give --model FOLDER or --models-dir FOLDER");
  }
  for (const auto& id : options.pinned) find("--pin", id, models)->pinned = true;
  if (!options.default_model.empty()) {
    const auto chosen = find("--default-model", options.default_model, models);
    std::rotate(models.begin(), chosen, chosen + 1);
  }
  return models;
}

}  // namespace easel
