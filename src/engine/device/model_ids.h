// How the engine refers to the models that it serves.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/mutex.h"
#include "easel/error.h"
#include "easel/generation.h"

namespace easel {

/// Number of a served model. Given when the model is registered, from 0 upwards, and never given again: a number that a
/// request, a measurement or a device keeps means the same model for as long as the engine lives.
using ModelId = std::size_t;

/// The numbers of the served models by their names (ModelDescription::id). Thread-safe. Where several objects of this
/// class are given the same models in the same order, they give the same numbers.
class ModelIds {
 public:
  /// @throws Error(kInvalidArgument)  no model, or two with the same name
  explicit ModelIds(const std::vector<ModelDescription>& models);

  /// A new number for this name, which is the name's from now on.
  ModelId put(const std::string& name);
  /// @return the number that the name had, if it had one
  std::optional<ModelId> remove(const std::string& name);

  /// @throws Error(kNotFound)  no model of this name; the field is "model"
  ModelId find(const std::string& name) const;
  std::optional<ModelId> find_optional(const std::string& name) const;
  /// What find throws.
  static Error unknown(const std::string& name);

 private:
  mutable Mutex mutex_;
  std::map<std::string, ModelId> ids_ EASEL_GUARDED_BY(mutex_);
  ModelId next_ EASEL_GUARDED_BY(mutex_) = 0;
};

}  // namespace easel
