// Names of models, and what each model can do.
#include "http/openai/model_choice.h"

#include <algorithm>

#include "core/text.h"
#include "http/wire/fields.h"

namespace easel::http {
namespace {

bool is_openai_name(const std::string& name) {
  return name.starts_with("dall-e-") || name.starts_with("gpt-image-") || name == "chatgpt-image-latest";
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
  if (task == ImageTask::kVary && model.needs_mask) {
    throw wrong_model(model, "needs a mask of what to redraw: see POST /v1/images/edits.");
  }
}

}  // namespace

const ModelDescription& resolve_model(const std::vector<ModelDescription>& models, const std::string& name) {
  const auto found =
      std::find_if(models.begin(), models.end(), [&](const ModelDescription& model) { return model.id == name; });
  if (found != models.end()) return *found;
  if (name.empty() || is_openai_name(name)) return models.front();
  throw HttpFailure(
      {.status = 404,
       .message = concat("There is no model ", quote(name), "; GET /v1/models lists the models of this server."),
       .param = "model",
       .code = "model_not_found"});
}

const ModelDescription& model_for(ImageTask task, const std::vector<ModelDescription>& models,
                                  const std::string& name) {
  const auto& model = resolve_model(models, name);
  // A client that names none of the models served means any that upscales.
  if (task == ImageTask::kUpscale && model.id != name) {
    const auto upscaler = std::find_if(models.begin(), models.end(),
                                       [](const ModelDescription& candidate) { return candidate.upscale_factor > 0; });
    if (upscaler != models.end()) return *upscaler;
    throw HttpFailure(
        {.status = 404,
         .message = "None of the models of this server upscales images; GET /v1/models lists what they do.",
         .param = "model",
         .code = "model_not_found"});
  }
  check_task(model, task);
  return model;
}

}  // namespace easel::http
