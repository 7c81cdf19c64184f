#include "app/models/model_list.h"

#include <algorithm>
#include <filesystem>

#include "app/models/last_use.h"
#include "app/models/models_dir.h"
#include "core/log.h"
#include "core/text.h"
#include "easel/model.h"
#include "hub/pull.h"
#include "pipelines/model_options.h"
#include "pipelines/registry.h"
#include "tensor/placement.h"

namespace easel {
namespace {

namespace fs = std::filesystem;

/// "name=path" as name and path; a plain path has an empty name.
std::pair<std::string, std::string> split_name(const std::string& text) {
  const auto equals = text.find('=');
  if (equals == std::string::npos || fs::exists(text)) return {"", text};
  return {text.substr(0, equals), text.substr(equals + 1)};
}

/// The id and the path of a model, from "alias=path" or from "path", whose last part is the id.
std::pair<std::string, std::string> split_alias(const std::string& text) {
  auto [id, path] = split_name(text);
  if (id.empty()) id = checkpoint_name(path);
  return {std::move(id), std::move(path)};
}

/// Where a model that was given by its name is, or would be; empty where the text is a path. A path wins over a name,
/// and so does a misspelt path inside an existing folder.
std::string path_of_name(const std::string& text, const std::string& folder) {
  if (fs::exists(text) || folder.empty()) return "";
  const auto slash = text.find('/');
  if (slash != std::string::npos && fs::exists(text.substr(0, slash))) return "";
  const auto target = hub::target_name(text);
  return target.empty() ? "" : concat(folder, "/", target);
}

/// split_alias() for a text that may contain a model's name in place of its path.
/// @throws Error(kNotFound)         no model of that name was downloaded
/// @throws Error(kInvalidArgument)  another model of the same last name was downloaded
std::pair<std::string, std::string> locate(const std::string& text, const std::string& folder) {
  const auto [alias, name] = split_name(text);
  const auto path = path_of_name(name, folder);
  if (path.empty()) return split_alias(text);
  if (!fs::exists(path)) {
    throw Error(ErrorCode::kNotFound, concat("there is no file or folder ", name, ", and no model of that name in ",
                                             folder, "; to download it: easel pull ", name));
  }
  if (const auto source = hub::pulled_source(path); !source.empty() && !hub::is_same_model(source, name)) {
    throw Error(ErrorCode::kInvalidArgument, concat(path, " was pulled as ", source, ", not as ", name,
                                                    "; give its path to use it, or remove it with ", "`easel rm ",
                                                    fs::path(path).filename().string(), "` to pull the other"));
  }
  return {alias.empty() ? checkpoint_name(path) : alias, path};
}

/// The models that one --model names: one, or all that are in a cache of Hugging Face's.
/// @throws Error  as locate(), or an alias stands for several models
std::vector<std::pair<std::string, std::string>> models_of(const std::string& text, const std::string& folder) {
  auto one = locate(text, folder);
  if (!is_hub_cache(one.second)) return {std::move(one)};
  const auto search = search_models(one.second);
  const bool has_alias = !split_name(text).first.empty();
  if (has_alias && search.found.size() != 1) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("--model ", text, " gives one name to a cache of ", search.found.size(),
                       " models; name a folder models--ORG--NAME in it"));
  }
  std::vector<std::pair<std::string, std::string>> models;
  for (const auto& found : search.found) models.emplace_back(has_alias ? one.first : found.name, found.path);
  return models;
}

/// The value of --vae, --preview-vae or --variant for a model: the one given for its id, else the one given for all
/// models.
std::string value_for(const std::string& id, const std::vector<std::string>& given) {
  std::string for_all;
  for (const auto& text : given) {
    const auto [name, value] = split_name(text);
    if (name == id) return value;
    if (name.empty()) for_all = value;
  }
  return for_all;
}

std::vector<ServedModel>::iterator find_id(std::vector<ServedModel>& models, const std::string& id) {
  return std::find_if(models.begin(), models.end(), [&](const auto& m) { return m.description.id == id; });
}

struct ComponentFlag {
  std::string id, role, path;
};

/// "id.role=path".
ComponentFlag split_component(const std::string& text) {
  const auto equals = text.find('=');
  const auto dot = equals == std::string::npos ? equals : text.rfind('.', equals);
  if (dot == std::string::npos || dot == 0 || dot + 1 == equals || equals + 1 == text.size()) {
    throw Error(ErrorCode::kInvalidArgument, concat("--component is ", text, ", expected MODEL.ROLE=PATH"));
  }
  return {text.substr(0, dot), text.substr(dot + 1, equals - dot - 1), text.substr(equals + 1)};
}

CheckpointOptions checkpoint_options(const std::string& id, const ModelFlags& flags) {
  CheckpointOptions options{.vae = value_for(id, flags.vaes),
                            .preview_vae = value_for(id, flags.preview_vaes),
                            .variant = value_for(id, flags.variants),
                            .ignored_tensors = flags.ignored_tensors};
  for (const auto& text : flags.components) {
    const auto [name, role, path] = split_component(text);
    if (name == id && !options.components.emplace(role, path).second) {
      throw Error(ErrorCode::kInvalidArgument, concat("--component names ", name, '.', role, " twice"));
    }
  }
  if (!flags.quantize.empty()) options.quantization = parse_quantization(flags.quantize);
  return options;
}

/// Says once what is not offered, and keeps it for `easel models --all`.
/// @param what  what the message calls it
void pass_over(const std::string& what, PassedOver item, std::vector<PassedOver>* passed_over) {
  log::warning(concat(what, " is left out: ", item.reason));
  if (passed_over != nullptr) passed_over->push_back(std::move(item));
}

void add_directory(const ModelSearch& search, const ModelFlags& flags, const PipelineOptions& options,
                   std::vector<ServedModel>& models, std::vector<PassedOver>* passed_over) {
  for (const auto& [path, reason] : search.passed_over) pass_over(path, {path, "it " + reason}, passed_over);
  for (const auto& [id, path] : search.found) {
    const auto known = find_id(models, id);
    if (known != models.end()) {
      // --model may name a checkpoint of this directory.
      if (!fs::equivalent(known->description.folder, path)) {
        pass_over(path, {path, "another model is called " + id}, passed_over);
      }
      continue;
    }
    try {
      models.push_back(open_model(id, path, options, checkpoint_options(id, flags)));
    } catch (const Error& e) {
      pass_over("model " + id, {path, e.what()}, passed_over);
    }
  }
}

ModelOptions to_model_options(const ModelFlags& flags) {
  ModelOptions options{.device = list_devices(flags).front(),
                       .dtype = flags.dtype,
                       .keep_stored_dtype = flags.weights_dtype == "stored",
                       .offload_components = flags.offload == "components",
                       .offload_blocks = flags.offload == "blocks",
                       .release_text_encoders = flags.release_text_encoders,
                       .max_generations_per_step = flags.max_generations_per_step,
                       .prompt_syntax = flags.prompt_syntax,
                       .embeddings_dir = flags.embeddings_dir,
                       .lora_dir = flags.lora_dir,
                       .lora_memory = flags.lora_memory,
                       .estimate_activations = flags.estimate_activations,
                       .estimated_sizes = flags.estimated_sizes};
  if (flags.vae_tiling != "auto") options.vae_tiling = flags.vae_tiling == "on";
  return options;
}

/// @param flag  the flag that named the id, for the message
std::vector<ServedModel>::iterator find(const char* flag, const std::string& id, std::vector<ServedModel>& models) {
  const auto found = find_id(models, id);
  if (found != models.end()) return found;
  std::vector<std::string> ids;
  for (const auto& m : models) ids.push_back(m.description.id);
  throw Error(ErrorCode::kNotFound, concat(flag, " ", id, " is not among the models: ", join(ids)));
}

}  // namespace

std::vector<std::string> list_devices(const ModelFlags& flags) {
  std::vector<std::string> names;
  for (const auto& name : flags.devices) {
    const auto device = make_placement(name, flags.dtype).device;
    names.push_back(device.str());
    if (std::count(names.begin(), names.end(), names.back()) > 1) {
      throw Error(ErrorCode::kInvalidArgument, concat("--device names ", names.back(), " twice"));
    }
    if (names.size() > 1 && (device.is_cpu() || names.front() == "cpu")) {
      throw Error(ErrorCode::kInvalidArgument,
                  "--device names a CPU together with other devices; several devices must all be GPUs");
    }
  }
  if (names.empty()) throw Error(ErrorCode::kInvalidArgument, "--device names no device");
  return names;
}

std::string searched_folder(const ModelFlags& flags) {
  if (!flags.models_dir.empty() || !flags.models.empty()) return flags.models_dir;
  const auto usual = models_dir("");
  return fs::is_directory(usual) ? usual : "";
}

std::vector<std::string> names_to_pull(const ModelFlags& flags) {
  std::vector<std::string> names;
  for (const auto& text : flags.models) {
    const auto name = split_name(text).second;
    const auto path = path_of_name(name, models_dir(flags.models_dir));
    if (!path.empty() && !fs::exists(path)) names.push_back(name);
  }
  return names;
}

std::vector<WatchedModel> FoundModels::all() const {
  auto models = named;
  for (const auto& [id, path] : in_folder.found) models.push_back({.id = id, .path = path});
  return models;
}

FoundModels find_models(const ModelFlags& flags) {
  FoundModels found;
  for (const auto& text : flags.models) {
    for (auto& [id, path] : models_of(text, models_dir(flags.models_dir))) {
      found.named.push_back({.id = std::move(id), .path = std::move(path)});
    }
  }
  if (const auto directory = searched_folder(flags); !directory.empty()) found.in_folder = search_models(directory);
  return found;
}

std::vector<ServedModel> list_models(const ModelFlags& flags, const FoundModels& found,
                                     std::vector<PassedOver>* passed_over) {
  const auto options = make_pipeline_options(to_model_options(flags));
  std::vector<ServedModel> models;
  for (const auto& [id, path] : found.named) {
    if (find_id(models, id) != models.end()) {
      throw Error(ErrorCode::kInvalidArgument, concat("two models are called ", id, "; use alias=path"));
    }
    models.push_back(open_model(id, path, options, checkpoint_options(id, flags)));
  }
  add_directory(found.in_folder, flags, options, models, passed_over);
  if (models.empty()) {
    throw Error(ErrorCode::kNotFound, "no model to serve; give --model PATH or --models-dir FOLDER");
  }
  for (const auto& [flag, values] : {std::pair{"--vae", &flags.vaes}, {"--preview-vae", &flags.preview_vaes}}) {
    for (const auto& text : *values) {
      if (const auto name = split_name(text).first; !name.empty()) find(flag, name, models);
    }
  }
  for (const auto& text : flags.components) find("--component", split_component(text).id, models);
  for (const auto& text : flags.variants) {
    const auto name = split_name(text).first;
    if (name.empty() || fs::is_directory(find("--variant", name, models)->description.folder)) continue;
    throw Error(ErrorCode::kInvalidArgument, concat("--variant names ", name, ", which is a single file and has none"));
  }
  for (const auto& id : flags.pinned) find("--pin", id, models)->pinned = true;
  if (!flags.default_model.empty()) {
    const auto chosen = find("--default-model", flags.default_model, models);
    std::rotate(models.begin(), chosen, chosen + 1);
  }
  return models;
}

ModelWatch::Actions watch_actions(const ModelFlags& flags) {
  const auto find = [flags] {
    std::vector<WatchedModel> found;
    for (const auto& text : flags.models) {
      try {
        for (auto& [id, path] : models_of(text, models_dir(flags.models_dir))) {
          if (fs::exists(path)) found.push_back({std::move(id), std::move(path)});
        }
      } catch (const Error&) {
        // A model that is given by its name was removed.
      }
    }
    if (const auto directory = searched_folder(flags); fs::is_directory(directory)) {
      for (auto& [id, path] : search_models(directory).found) found.push_back({std::move(id), std::move(path)});
    }
    return found;
  };
  const auto open = [flags, options = make_pipeline_options(to_model_options(flags))](const WatchedModel& model) {
    auto opened = open_model(model.id, model.path, options, checkpoint_options(model.id, flags));
    opened.pinned = std::ranges::find(flags.pinned, model.id) != flags.pinned.end();
    note_requests(opened);
    return opened;
  };
  return {.find = find, .open = open};
}

}  // namespace easel
