// How the engine refers to the models that it serves.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "easel/generation.h"

namespace easel {

/// Number of a served model. Given when the model is registered, from 0 upwards, and never given again: a number that a
/// request, a measurement or a device keeps means the same model for as long as the engine lives.
using ModelId = std::size_t;

/// The numbers of the served models by their names (ModelDescription::id). Immutable, so thread-safe.
class ModelIds {
 public:
  /// @throws Error(kInvalidArgument)  no model, or two with the same name
  explicit ModelIds(const std::vector<ModelDescription>& models);

  /// @throws Error(kNotFound)  no model of this name; the field is "model"
  ModelId find(const std::string& name) const;

 private:
  std::map<std::string, ModelId> ids_;
};

}  // namespace easel
