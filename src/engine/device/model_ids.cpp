#include "engine/device/model_ids.h"

#include "core/text.h"

namespace easel {

ModelIds::ModelIds(const std::vector<ModelDescription>& models) {
  if (models.empty()) throw Error(ErrorCode::kInvalidArgument, "there is no model to serve");
  for (const auto& model : models) {
    if (find_optional(model.id)) {
      throw Error(ErrorCode::kInvalidArgument, concat("two models are called \"", model.id, "\""));
    }
    put(model.id);
  }
}

ModelId ModelIds::put(const std::string& name) {
  const MutexLock lock(mutex_);
  return ids_[name] = next_++;
}

std::optional<ModelId> ModelIds::remove(const std::string& name) {
  const MutexLock lock(mutex_);
  const auto found = ids_.find(name);
  if (found == ids_.end()) return std::nullopt;
  const auto id = found->second;
  ids_.erase(found);
  return id;
}

ModelId ModelIds::find(const std::string& name) const {
  const auto found = find_optional(name);
  if (!found) throw unknown(name);
  return *found;
}

std::optional<ModelId> ModelIds::find_optional(const std::string& name) const {
  const MutexLock lock(mutex_);
  const auto found = ids_.find(name);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

Error ModelIds::unknown(const std::string& name) {
  return {ErrorCode::kNotFound, concat("model \"", name, "\" is not served here"), "model"};
}

}  // namespace easel
