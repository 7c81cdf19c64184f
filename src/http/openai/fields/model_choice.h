// Which model a request means.
#pragma once

#include <string>
#include <vector>

#include "easel/generation.h"
#include "easel/server.h"
#include "http/openai/fields/request_fields.h"

namespace easel::http {

/// The model of that id, or the one that an alias stands for. The first one when `name` is empty, or one of OpenAI's
/// own names that clients send unasked (dall-e-3, gpt-image-1, ...) and neither a model nor an alias has that name.
/// @throws HttpFailure(404)  another unknown name, or an alias of a model that is no longer served
const ModelDescription& resolve_model(const std::vector<ModelDescription>& models, const std::string& name,
                                      const ServerOptions& options);

/// As resolve_model, and the model must be made for the task. To upscale, an empty name or one of OpenAI's own means
/// the first model that upscales.
/// @throws HttpFailure(400)  the model cannot do the task; or model_not_found: another unknown name, or no model
///                           upscales. OpenAI's image routes do not answer 404, and some clients take it for a server
///                           without these routes
const ModelDescription& model_for(ImageTask task, const std::vector<ModelDescription>& models, const std::string& name,
                                  const ServerOptions& options);

}  // namespace easel::http
