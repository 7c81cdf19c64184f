#include "app/model_list.h"

#include <algorithm>
#include <filesystem>

#include "core/log.h"
#include "core/text.h"
#include "pipelines/registry.h"

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
std::string vae_of(const std::string& id, const std::vector<std::string>& given) {
  std::string for_all;
  for (const auto& text : given) {
    const auto [name, path] = split_name(text);
    if (name == id) return path;
    if (name.empty()) for_all = path;
  }
  return for_all;
}

bool has_id(const std::vector<ServedModel>& models, const std::string& id) {
  return std::any_of(models.begin(), models.end(), [&](const auto& m) { return m.description.id == id; });
}

void add_directory(const std::string& directory, const std::vector<std::string>& vaes, const PipelineOptions& options,
                   std::vector<ServedModel>& models) {
  for (const auto& path : find_checkpoints(directory)) {
    const auto id = checkpoint_name(path);
    if (has_id(models, id)) continue;  // --model has already named it
    try {
      models.push_back(open_model(id, path, options, vae_of(id, vaes)));
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
  const PipelineOptions pipeline_options{.placement = make_placement(options.device, options.dtype),
                                         .max_generations_per_step = options.max_generations_per_step};
  std::vector<ServedModel> models;
  for (const auto& text : options.models) {
    const auto [id, path] = split_alias(text);
    if (has_id(models, id))
      throw Error(ErrorCode::kInvalidArgument, concat("two models are called ", id, "; use alias=path"));
    models.push_back(open_model(id, path, pipeline_options, vae_of(id, options.vaes)));
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
