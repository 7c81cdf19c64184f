#include "weights/format/mapped_files.h"

namespace easel {

void MappedFiles::add(const std::shared_ptr<const MappedFile>& file) {
  const MutexLock lock(files_mutex_);
  files_.push_back(file);
}

void MappedFiles::check_unchanged() const {
  const MutexLock lock(files_mutex_);
  std::erase_if(files_, [](const auto& file) { return file.expired(); });
  for (const auto& weak : files_) {
    if (const auto file = weak.lock()) file->check_unchanged();
  }
}

}  // namespace easel
