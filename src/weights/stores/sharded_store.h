// A component whose tensors are spread over several files.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "weights/loading/tensor_store.h"

namespace easel {

/// What an index file says: which shard holds which tensor.
struct ShardIndex {
  std::map<std::string, std::string> weight_map;  ///< tensor name to shard's file name
  std::vector<std::string> shards;                ///< each once, sorted
};

/// Reads "<stem>.safetensors.index.json" or "<stem>.bin.index.json", as diffusers and transformers write them.
/// @param ending  that shards' names must have: ".safetensors" or ".bin"
/// @throws Error(kNotFound)     no such file
/// @throws Error(kCorruptData)  it is not an index, has a name twice, or names a shard outside its folder
ShardIndex read_shard_index(const std::string& path, const std::string& ending);

/// The shards of one component as one store. Thread-safe.
class ShardedStore : public TensorStore {
 public:
  /// @param folder  holds the index and the shards
  /// @throws Error(kCorruptData)  a shard is missing; index and shards disagree on a tensor; as SafetensorsFile
  ShardedStore(const std::string& folder, const std::string& index_name);

  std::vector<std::string> names() const override;
  const TensorInfo* find(const std::string& name) const override;
  /// @throws Error(kNotFound)  no such tensor; else as SafetensorsFile::read
  at::Tensor read(const std::string& name) const override;
  std::optional<QuantizedWeight> read_blocks(const std::string& name) const override;
  void release(const std::string& name) const override;
  std::string where() const override { return where_; }
  std::vector<std::shared_ptr<const MappedFile>> mapped_files() const override;

 private:
  const TensorStore& shard_of(const std::string& name) const;

  std::string where_;
  ShardIndex index_;
  std::map<std::string, std::shared_ptr<const TensorStore>> shards_;  ///< by file name
};

}  // namespace easel
