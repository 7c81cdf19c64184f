// The adapters of a pipeline.
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
  std::string directory;  ///< of the adapter files; empty: none
  std::size_t memory_bytes = std::size_t{512}
                             << 20;  ///< for cached adapters; beyond it, the least recently used are dropped. What
                                     ///< these leave is for deltas of the requests in progress
  std::shared_ptr<AdapterDirectory> index = {};  ///< of that directory, shared by several models; null: one's own
};

/// Loads adapters when a request names them, and caches the most recently used on the models' device. A file that has
/// changed is read again; images in progress keep the adapter that they started with. Not thread-safe.
class Adapters {
 public:
  /// @param models     the models whose layers are adapted, with LayerTable::component set
  /// @param placement  of those models
  Adapters(const AdapterOptions& options, const std::vector<std::shared_ptr<LayerTable>>& models,
           const Placement& placement);

  /// The adapters of a request; null if there are none or all weights are 0.
  /// An adapter that is named several times is applied once, with the sum of its weights.
  /// @throws Error(kInvalidArgument)  param loras: an unknown name, a weight outside -100 to 100, too many adapters, an
  ///                                  adapter for another model, or a file that cannot be used; names file and tensor
  std::shared_ptr<const AdapterSet> resolve(const std::vector<AdapterSelection>& uses);

  /// Checks names and weights without reading a file, as resolve does. Thread-safe.
  /// @throws Error(kInvalidArgument)  as resolve
  static void check(const std::vector<AdapterSelection>& uses, const AdapterDirectory& directory);
  /// The index of `options`, or a new one of its directory.
  static std::shared_ptr<AdapterDirectory> directory_of(const AdapterOptions& options);

  std::size_t loaded_bytes() const { return loaded_.weight(); }  ///< of the adapters in the cache
  std::size_t loads() const { return loads_; }

 private:
  struct Loaded {
    std::optional<FileStamp> stamp;  ///< of the file when it was read
    std::shared_ptr<const BoundAdapter> adapter;
  };
  std::shared_ptr<const BoundAdapter> get(const std::string& path);

  std::string without_folder(std::string message) const;

  AdapterOptions options_;
  std::shared_ptr<AdapterDirectory> directory_;
  LayerNames names_;
  Placement placement_;
  LruCache<Loaded> loaded_;  // by path; weights are bytes
  std::shared_ptr<DeltaMemory> delta_memory_;
  std::size_t loads_ = 0;
};

}  // namespace easel
