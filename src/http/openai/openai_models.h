// The models endpoints on the wire.
#pragma once

#include <string>
#include <vector>

#include "easel/engine.h"

namespace easel::http {

/// What the model's requests may be, in the order of how much they bring: some of "text-to-image", "image-to-image",
/// "inpainting"; or "upscaling".
std::vector<std::string> modes_of(const ModelDescription& model);

/// {"object": "list", "data": [model, ...]}, in the order given.
/// @param states  of the models, in their order
std::string model_list(const std::vector<ModelDescription>& models, const std::vector<ModelStatus>& states);

/// One model: OpenAI's four keys, then easel's own: family, licence, modes, native size, what a request may ask of it,
/// what it needs of memory (bytes of each component's weights by dtype, of a step by its rows, of a decode), and how it
/// stands: state ("unloaded", "loading", "ready", "failed"), memory in bytes, last use in Unix seconds.
/// @param id  as the client asked for it: one of OpenAI's own names may mean this model
std::string model_object(const ModelDescription& model, const ModelStatus& status, const std::string& id);

}  // namespace easel::http
