// The models endpoints on the wire.
#pragma once

#include <string>
#include <vector>

#include "easel/generation.h"

namespace easel::http {

/// {"object": "list", "data": [model, ...]}, in the order given.
std::string model_list(const std::vector<ModelDescription>& models);

/// One model: OpenAI's four keys, then easel's own: family, licence, native size, what a request may ask of it.
/// @param id  as the client asked for it: one of OpenAI's own names may mean this model
std::string model_object(const ModelDescription& model, const std::string& id);

}  // namespace easel::http
