#include "weights/stores/memory_store.h"

#include "core/text.h"
#include "easel/error.h"
#include "weights/format/message_format.h"

namespace easel {

MemoryStore::MemoryStore(std::map<std::string, at::Tensor> tensors, std::string where)
    : tensors_(std::move(tensors)), where_(std::move(where)) {
  for (const auto& [name, tensor] : tensors_) {
    infos_.emplace(name, TensorInfo{where_, tensor.scalar_type(), tensor.sizes().vec()});
  }
}

std::vector<std::string> MemoryStore::names() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors_) names.push_back(name);
  return names;
}

const TensorInfo* MemoryStore::find(const std::string& name) const {
  const auto found = infos_.find(name);
  return found == infos_.end() ? nullptr : &found->second;
}

at::Tensor MemoryStore::read(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) throw Error(ErrorCode::kNotFound, concat(where_, " has no tensor ", quote_name(name)));
  return found->second;
}

}  // namespace easel
