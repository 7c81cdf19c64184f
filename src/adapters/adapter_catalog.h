// What the files of an adapter folder say about themselves.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "adapters/adapter_directory.h"
#include "core/mutex.h"
#include "easel/generation.h"
#include "weights/format/file_stamp.h"

namespace easel {

/// Describes adapters from the headers of their files. A header is read again when its file has changed. Thread-safe.
class AdapterCatalog {
 public:
  /// @param folder  as AdapterDirectory takes it
  explicit AdapterCatalog(std::string folder) : directory_(std::move(folder)) {}

  /// Sorted by name. Of a file that cannot be read, only name and size are known.
  std::vector<AdapterDescription> list();

 private:
  struct Known {
    std::optional<FileStamp> stamp;
    AdapterDescription description;
  };
  Known describe(const std::string& name) const EASEL_REQUIRES(mutex_);

  const AdapterDirectory directory_;
  Mutex mutex_;
  std::map<std::string, Known> known_ EASEL_GUARDED_BY(mutex_);  // by name
};

}  // namespace easel
