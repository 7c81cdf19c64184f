// Whether a file is still the one that was read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace easel {

/// What the file system records about a file's contents. Another file of the same name has another stamp even if its
/// size and modification time are the same, as with unpacked archives and `cp -p`: the inode or the time of the last
/// status change differs. Only a file that is overwritten twice within a tick of the system's clock, some milliseconds,
/// looks the same.
struct FileStamp {
  std::uint64_t device = 0, inode = 0, size = 0;
  std::int64_t mtime_ns = 0;  ///< mtime, which programs may set
  std::int64_t ctime_ns = 0;  ///< ctime, which they may not

  bool operator==(const FileStamp&) const = default;
};

/// The stamp of a file, or of the target of a link; none if it cannot be examined. Take it before the file is read, so
/// that a change in between is noticed the next time.
std::optional<FileStamp> stamp_of(const std::string& path);

}  // namespace easel
