// Which model a request means.
#pragma once

#include <string>
#include <vector>

#include "easel/generation.h"
#include "http/openai/request_fields.h"

namespace easel::http {

/// The model of that id. The first one when `name` is empty, or one of OpenAI's own names that clients send unasked
/// (dall-e-3, gpt-image-1, ...) and no model of that id is served.
/// @throws HttpFailure(404)  another unknown name
const ModelDescription& resolve_model(const std::vector<ModelDescription>& models, const std::string& name);

/// As resolve_model, and the model must be made for the task. To upscale, an empty name or one of OpenAI's own means
/// the first model that upscales.
/// @throws HttpFailure  400: the model cannot do the task; 404: another unknown name, or no model upscales
const ModelDescription& model_for(ImageTask task, const std::vector<ModelDescription>& models, const std::string& name);

}  // namespace easel::http
