// Reading GGUF files.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "weights/format/gguf.h"
#include "weights/format/mapped_file.h"
#include "weights/loading/tensor_store.h"

namespace easel {

/// One GGUF file, mapped. Opening reads the header only; tensors are read from disk when they are accessed.
///
/// Thread-safe. Tensors may outlive the store: each keeps the file mapped.
class GgufFile : public TensorStore {
 public:
  /// @throws Error(kNotFound)                   the file cannot be opened
  /// @throws Error(kCorruptData, kUnsupported)  as parse_gguf_header; names the file and the tensor
  explicit GgufFile(const std::string& path);

  std::vector<std::string> names() const override;  ///< in the order of their bytes
  const TensorInfo* find(const std::string& name) const override;
  /// A view of the mapping for tensors that are stored number by number; others are decoded to float32.
  /// @throws Error(kNotFound)     no such tensor
  /// @throws Error(kCorruptData)  the file has changed
  at::Tensor read(const std::string& name) const override;
  std::optional<QuantizedWeight> read_blocks(const std::string& name) const override;
  void release(const std::string& name) const override;
  std::string where() const override { return file_->path(); }
  std::vector<std::shared_ptr<const MappedFile>> mapped_files() const override { return {file_}; }

  const GgufHeader& header() const { return header_; }

 private:
  const GgufEntry& entry(const std::string& name) const;
  QuantizedWeight blocks_of(const GgufEntry& stored) const;

  struct IndexedTensor {
    std::size_t index;  ///< in header_.tensors
    TensorInfo info;
  };
  std::shared_ptr<const MappedFile> file_;
  GgufHeader header_;
  std::map<std::string, IndexedTensor> indexed_tensors_;
};

}  // namespace easel
