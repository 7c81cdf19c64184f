// Models as JSON.
#pragma once

#include <string>
#include <vector>

#include "easel/engine.h"

namespace easel::http {

/// What the model can do: some of "text-to-image", "image-to-image" and "inpainting"; or "upscaling".
std::vector<std::string> modes_of(const ModelDescription& model);

struct ListedModel {
  std::string id;  ///< the model's own, or an alias
  const ModelDescription& model;
  ModelStatus status;
};

/// {"object": "list", "data": [model, ...]}, in the order given.
std::string model_list(const std::vector<ListedModel>& models);

/// One model: OpenAI's four keys, Lemonade's `labels`, then easel's own: family, licence, modes, native size, defaults
/// and schedulers; the memory that it needs, in bytes (weights of each component by dtype, a step by its rows, a
/// decode); and its state: "unloaded", "loading", "ready" or "failed", the memory that it takes, and its last use in
/// Unix seconds.
/// @param id  as the client wrote it: one of OpenAI's own names may mean this model
std::string model_object(const ModelDescription& model, const ModelStatus& status, const std::string& id);

}  // namespace easel::http
