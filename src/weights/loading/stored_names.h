// What a tensor is called in its file, where a store gives it another name.
#pragma once

#include <string>

#include "weights/loading/weights.h"

namespace easel {

/// A store that gives tensors other names than their file does. Messages speak of the file.
class RenamingStore : public TensorStore {
 public:
  /// The file's name for a tensor that is called `name` here, whether it is there or not.
  virtual std::string stored_name(const std::string& name) const = 0;
};

/// What the store's file calls the tensor: `name` itself unless the store is a renaming one.
std::string stored_name(const TensorStore& store, const std::string& name);

}  // namespace easel
