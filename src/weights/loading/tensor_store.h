// Named tensors in files: what every reader of weights provides.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "weights/format/block_format.h"
#include "weights/loading/quantized_weight.h"

namespace easel {

class MappedFile;  // weights/format/mapped_file.h

/// Where and how one tensor is stored.
struct TensorInfo {
  std::string file;       ///< file name without folders, for messages
  c10::ScalarType dtype;  ///< of what TensorStore::read returns
  std::vector<std::int64_t> shape;
  /// Of tensors that are stored in blocks of fewer bits, which TensorStore::read decodes; null for others.
  const BlockFormat* blocks = nullptr;
  bool keep_stored = false;  ///< layers keep it in `dtype` where that is smaller than the dtype that they compute in

  /// Of its elements in the file, for users: "float16", "Q4_K".
  std::string stored_name() const;
  std::int64_t elements() const;
  std::int64_t stored_bytes() const;
};

/// Whether layers keep their weights in this dtype between calls, whatever they compute in: 8-bit floating point.
bool is_float8(c10::ScalarType dtype);

/// Named tensors, read-only: one safetensors file, several shards, or tensors in memory. Thread-safe for reading.
class TensorStore {
 public:
  virtual ~TensorStore() = default;
  virtual std::vector<std::string> names() const = 0;
  /// Null if there is no such tensor; else valid as long as the store.
  virtual const TensorInfo* find(const std::string& name) const = 0;
  /// The tensor as stored, on the CPU: a view of mapped memory where possible, which it keeps mapped. Must not be
  /// written.
  /// @throws Error(kNotFound, kCorruptData)  no such tensor; the file has changed since it was opened
  virtual at::Tensor read(const std::string& name) const = 0;
  /// A matrix as the blocks in which it is stored; views of mapped memory where possible. None for tensors that are
  /// stored number by number, and for blocks that are not rows of a matrix.
  /// @throws Error(kNotFound, kCorruptData)  as read
  virtual std::optional<QuantizedWeight> read_blocks(const std::string& name) const { return std::nullopt; }
  /// Says that the tensor was copied elsewhere, so its mapped pages may leave memory. Reading it again still works.
  virtual void release(const std::string& name) const {}
  virtual std::string where() const = 0;  ///< file or folder, for messages
  /// The name in the file of the tensor that is called `name` here, whether there is one or not. Stores that rename
  /// tensors override it, so that messages name what the file holds.
  virtual std::string stored_name(const std::string& name) const { return name; }
  /// The files that tensors are views of; empty for a store that maps none.
  virtual std::vector<std::shared_ptr<const MappedFile>> mapped_files() const { return {}; }
};

}  // namespace easel
