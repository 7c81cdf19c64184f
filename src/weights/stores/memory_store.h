// Named tensors in memory, for tests and tools.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "weights/loading/tensor_store.h"

namespace easel {

/// A TensorStore of existing tensors, which it shares and does not copy. Thread-safe.
class MemoryStore : public TensorStore {
 public:
  /// @param where  the store's name in messages
  explicit MemoryStore(std::map<std::string, at::Tensor> tensors, std::string where = "memory");

  std::vector<std::string> names() const override;
  const TensorInfo* find(const std::string& name) const override;
  /// @throws Error(kNotFound)  no such tensor
  at::Tensor read(const std::string& name) const override;
  std::string where() const override { return where_; }

 private:
  std::map<std::string, at::Tensor> tensors_;
  std::map<std::string, TensorInfo> infos_;
  std::string where_;
};

}  // namespace easel
