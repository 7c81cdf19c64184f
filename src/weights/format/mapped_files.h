// The files that a model's weights are views of.
#pragma once

#include <memory>
#include <vector>

#include "core/mutex.h"
#include "weights/format/mapped_file.h"

namespace easel {

/// Files that are in use as long as they are mapped; this list does not keep them mapped. Thread-safe.
class MappedFiles {
 public:
  void add(const std::shared_ptr<const MappedFile>& file);

  /// @throws Error(kCorruptData)  of the first file that is still mapped and has changed, as
  /// MappedFile::check_unchanged
  void check_unchanged() const;

 private:
  mutable Mutex files_mutex_;
  mutable std::vector<std::weak_ptr<const MappedFile>> files_ EASEL_GUARDED_BY(files_mutex_);
};

}  // namespace easel
