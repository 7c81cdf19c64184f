// A whole file mapped into memory.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include "core/open_file.h"
#include "weights/format/page_guard.h"

namespace easel {

/// A whole file mapped read-only. Pages come in when they are touched and may leave again under memory pressure.
///
/// Thread-safe. Writing to the bytes ends the process. If another program writes to the file, the bytes change; if it
/// shortens the file, the missing pages read as zeros where install_truncation_guard was called (page_guard.h).
/// check_unchanged after use turns both into an Error.
class MappedFile {
 public:
  /// @throws Error(kNotFound)     the file is missing or cannot be opened; says why
  /// @throws Error(kCorruptData)  it is a folder, a device or a pipe
  explicit MappedFile(std::string path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }

  /// @throws Error(kCorruptData)  another program has written to the file since it was opened, or shortened it
  void check_unchanged() const;

  /// Lets the pages that lie wholly within [offset, offset + size) leave memory. Reading them loads them again.
  void release(std::size_t offset, std::size_t size) const;

 private:
  std::string path_;
  OpenFile file_;
  OpenFile::State opened_;
  std::size_t size_ = 0;
  const std::byte* data_ = nullptr;
  std::optional<PageGuard> guard_;
};

}  // namespace easel
