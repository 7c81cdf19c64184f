// A pipeline's adapters: from the names in a request to what its models work with.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapters/adapter_directory.h"
#include "adapters/layer_names.h"
#include "core/lru_cache.h"
#include "easel/generation.h"
#include "nn/adapter_set.h"
#include "tensor/placement.h"
#include "weights/format/file_stamp.h"

namespace easel {

struct AdapterOptions {
  std::string directory;                              ///< of the files to choose from; empty: none
  std::size_t memory_bytes = std::size_t{512} << 20;  ///< of adapters kept; beyond it the least recently used leave
};

/// Loads adapters when a request names them and keeps the latest used in memory, on the models' device. A file that has
/// changed is read again; images under way keep what they began with. Not thread-safe.
class Adapters {
 public:
  /// @param models     whose layers are adapted, with LayerTable::component set
  /// @param placement  of those models
  Adapters(const AdapterOptions& options, const std::vector<std::shared_ptr<LayerTable>>& models,
           const Placement& placement);

  /// The set of a request; null where it comes to nothing: no adapter, or none with a weight.
  /// @throws Error(kInvalidArgument)  param loras: an unknown name, one that is there twice, a weight beyond 100,
  ///                                  too many, or an adapter for another model
  /// @throws Error(kCorruptData, kUnsupported)  a file that cannot be used; names file and tensor
  std::shared_ptr<const AdapterSet> resolve(const std::vector<AdapterSelection>& uses);

  std::size_t loaded_bytes() const { return loaded_.weight(); }  ///< of what is kept now
  std::size_t loads() const { return loads_; }

 private:
  struct Loaded {
    std::optional<FileStamp> stamp;  ///< of the file when it was read
    std::shared_ptr<const BoundAdapter> adapter;
  };
  std::shared_ptr<const BoundAdapter> get(const std::string& path);

  AdapterDirectory directory_;
  LayerNames names_;
  Placement placement_;
  LruCache<Loaded> loaded_;  // by path; weights are bytes
  std::size_t loads_ = 0;
};

}  // namespace easel
