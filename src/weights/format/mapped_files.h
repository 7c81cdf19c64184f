// The files that a model was loaded from and still has in memory.
#pragma once

#include <memory>
#include <vector>

#include "core/mutex.h"
#include "weights/format/mapped_file.h"

namespace easel {

/// Files by the order in which they were opened; not kept open by this. Thread-safe.
class MappedFiles {
 public:
  void add(const std::shared_ptr<const MappedFile>& file);

  /// @throws Error(kCorruptData)  of a file that is still mapped: as MappedFile::check_unchanged
  void check_unchanged() const;

 private:
  mutable Mutex files_mutex_;
  mutable std::vector<std::weak_ptr<const MappedFile>> files_ EASEL_GUARDED_BY(files_mutex_);
};

/// While it lives, hears of every file of weights that is opened on its thread. One at a time on a thread.
class FileCollector {
 public:
  /// @param files  outlives the collector
  explicit FileCollector(MappedFiles& files);
  ~FileCollector();
  FileCollector(const FileCollector&) = delete;
  FileCollector& operator=(const FileCollector&) = delete;

  /// For readers of weights: such a file was opened. Nothing happens where nobody listens.
  static void opened(const std::shared_ptr<const MappedFile>& file);
};

}  // namespace easel
