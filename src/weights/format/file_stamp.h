// Whether a file is still the one that was read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace easel {

/// What the file system says of a file's contents. Another file under its name has another stamp even if it is of the
/// same size and time, as unpacked archives and `cp -p` leave them: the inode, or the time of its last change, differs.
/// Only what is overwritten twice within a tick of the system's clock, some milliseconds, looks the same.
struct FileStamp {
  std::uint64_t device = 0, inode = 0, size = 0;
  std::int64_t mtime_ns = 0;  ///< mtime, which programs may set
  std::int64_t ctime_ns = 0;  ///< ctime, which they may not

  bool operator==(const FileStamp&) const = default;
};

/// Of what a link leads to; none where nothing can be examined. Take it before the file is read: a change in between
/// then shows the next time.
std::optional<FileStamp> stamp_of(const std::string& path);

}  // namespace easel
