// Tensors in memory under names: for tests and tools.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "weights/loading/weights.h"

namespace easel {

/// A TensorStore made of tensors at hand. Holds them, and copies none. Thread-safe once filled.
class MemoryStore : public TensorStore {
 public:
  /// @param where  what messages call it
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
