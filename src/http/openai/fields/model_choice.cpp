// Names of models, and what each model can do.
#include "http/openai/fields/model_choice.h"

#include <algorithm>
#include <utility>

#include "core/text.h"
#include "http/wire/fields.h"

namespace easel::http {
namespace {

constexpr char kSeeModels[] = "; GET /v1/models lists the models of this server.";

bool is_openai_name(const std::string& name) {
  return name.starts_with("dall-e-") || name.starts_with("gpt-image-") || name == "chatgpt-image-latest";
}

HttpFailure not_found(int status, std::string message) {
  return HttpFailure({.status = status, .message = std::move(message), .param = "model", .code = "model_not_found"});
}

const ModelDescription* with_id(const std::vector<ModelDescription>& models, const std::string& id) {
  const auto found =
      std::find_if(models.begin(), models.end(), [&](const ModelDescription& model) { return model.id == id; });
  return found == models.end() ? nullptr : &*found;
}

const std::string* find_alias(const ServerOptions& options, const std::string& name) {
  const auto found = std::find_if(options.aliases.begin(), options.aliases.end(),
                                  [&](const auto& alias) { return alias.first == name; });
  return found == options.aliases.end() ? nullptr : &found->second;
}

bool is_unserved_openai_name(const std::vector<ModelDescription>& models, const std::string& name,
                             const ServerOptions& options) {
  return is_openai_name(name) && !with_id(models, name) && !find_alias(options, name);
}

const ModelDescription* find_model(const std::vector<ModelDescription>& models, const std::string& name,
                                   const ServerOptions& options) {
  if (const auto* model = with_id(models, name)) return model;
  if (const auto* id = find_alias(options, name)) return with_id(models, *id);
  return name.empty() || is_openai_name(name) ? &models.front() : nullptr;
}

HttpFailure wrong_model(const ModelDescription& model, const char* why) {
  return field_error("model", "invalid_value", concat("The model ", quote(model.id), " ", why));
}

// What the model cannot do is refused before the request is queued.
void check_task(const ModelDescription& model, ImageTask task) {
  if (task == ImageTask::kUpscale) {
    if (model.upscale_factor == 0)
      throw wrong_model(model, "does not upscale images; GET /v1/models lists the models that do.");
    return;
  }
  if (model.upscale_factor > 0) throw wrong_model(model, "only upscales images: see POST /v1/images/upscale.");
  const bool supports_text_to_image = !model.needs_image && !model.needs_mask;
  if (task == ImageTask::kGenerate && !supports_text_to_image) {
    throw wrong_model(model, "needs an image to start from: see POST /v1/images/edits.");
  }
  if (task != ImageTask::kGenerate && model.max_input_images == 0) {
    throw wrong_model(model, "makes images of prompts only: see POST /v1/images/generations.");
  }
  if (task == ImageTask::kVary && model.needs_mask) {
    throw wrong_model(model, "needs a mask of what to redraw: see POST /v1/images/edits.");
  }
}

}  // namespace

const ModelDescription& resolve_model(const std::vector<ModelDescription>& models, const std::string& name,
                                      const ServerOptions& options) {
  if (const auto* model = find_model(models, name, options)) return *model;
  throw not_found(404, concat("There is no model ", quote(name), kSeeModels));
}

const ModelDescription& model_for(ImageTask task, const std::vector<ModelDescription>& models, const std::string& name,
                                  const ServerOptions& options) {
  const auto* model = find_model(models, name, options);
  if (!model) throw not_found(400, concat("There is no model ", quote(name), kSeeModels));
  // A client that names none of the models served means any that upscales.
  if (task == ImageTask::kUpscale && (name.empty() || is_unserved_openai_name(models, name, options))) {
    const auto upscaler = std::find_if(models.begin(), models.end(),
                                       [](const ModelDescription& candidate) { return candidate.upscale_factor > 0; });
    if (upscaler != models.end()) return *upscaler;
    throw not_found(400, "None of the models of this server upscales images; GET /v1/models lists what they do.");
  }
  check_task(*model, task);
  return *model;
}

}  // namespace easel::http
