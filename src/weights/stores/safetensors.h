// Reading safetensors files.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "weights/format/mapped_file.h"
#include "weights/format/safetensors_header.h"
#include "weights/loading/tensor_store.h"

namespace easel {

/// One safetensors file, mapped. Opening reads the header only; tensors are read from disk when they are accessed.
///
/// Thread-safe. Tensors may outlive the store: each keeps the file mapped.
class SafetensorsFile : public TensorStore {
 public:
  /// @throws Error(kNotFound)     the file cannot be opened
  /// @throws Error(kCorruptData)  as parse_safetensors_header; names the file and the tensor
  explicit SafetensorsFile(const std::string& path);

  std::vector<std::string> names() const override;  ///< in the order of their bytes
  const TensorInfo* find(const std::string& name) const override;
  /// A view of the mapping; a copy only if the bytes are not aligned for their dtype.
  /// @throws Error(kNotFound)     no such tensor
  /// @throws Error(kUnsupported)  of a dtype that torch does not have (F4, F6)
  /// @throws Error(kCorruptData)  the file has changed
  at::Tensor read(const std::string& name) const override;
  void release(const std::string& name) const override;
  std::string where() const override { return file_->path(); }
  std::vector<std::shared_ptr<const MappedFile>> mapped_files() const override { return {file_}; }

  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }

 private:
  const SafetensorsEntry& entry(const std::string& name) const;

  struct IndexedTensor {
    std::size_t index;  ///< in header_.tensors
    TensorInfo info;
  };
  std::shared_ptr<const MappedFile> file_;
  SafetensorsHeader header_;
  std::map<std::string, IndexedTensor> indexed_tensors_;
};

}  // namespace easel
