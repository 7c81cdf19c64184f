#include "engine/model_ids.h"

#include "core/text.h"
#include "easel/error.h"

namespace easel {

ModelIds::ModelIds(const std::vector<ModelDescription>& models) {
  if (models.empty()) throw Error(ErrorCode::kInvalidArgument, "there is no model to serve");
  for (const auto& model : models) {
    if (!ids_.emplace(model.id, ids_.size()).second) {
      throw Error(ErrorCode::kInvalidArgument, concat("two models are called \"", model.id, "\""));
    }
  }
}

ModelId ModelIds::find(const std::string& name) const {
  const auto found = ids_.find(name);
  if (found == ids_.end()) {
    throw Error(ErrorCode::kNotFound, concat("model \"", name, "\" is not served here"), "model");
  }
  return found->second;
}

}  // namespace easel
