// A file in memory without reading it.
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
/// Thread-safe. Writing to the bytes ends the process. Pages that another program cuts off the file are zeros (see
/// page_guard.h), and what it writes into the file is seen; check_unchanged after use turns both into an Error.
class MappedFile {
 public:
  /// @throws Error(kNotFound)     there is none, or it cannot be opened; says why
  /// @throws Error(kCorruptData)  a folder, a device or a pipe
  explicit MappedFile(std::string path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }

  /// @throws Error(kCorruptData)  another program has written to the file since it was opened, or shortened it
  void check_unchanged() const;

  /// Lets the pages that lie wholly inside [offset, offset + size) leave memory. Touching them brings them back.
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
