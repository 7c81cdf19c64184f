// Which tensors a store has.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "weights/loading/tensor_store.h"

namespace easel {

/// Tensors by name, for the stores that list theirs when they are made.
class TensorTable {
 public:
  /// In place of an earlier one of the same name.
  void add(std::string name, TensorInfo info) { infos_.insert_or_assign(std::move(name), std::move(info)); }
  /// As TensorStore::names; in the order of their bytes.
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& [name, info] : infos_) names.push_back(name);
    return names;
  }
  /// As TensorStore::find; valid until a tensor of this name is added.
  const TensorInfo* find(const std::string& name) const {
    const auto found = infos_.find(name);
    return found == infos_.end() ? nullptr : &found->second;
  }

 private:
  std::map<std::string, TensorInfo> infos_;
};

}  // namespace easel
