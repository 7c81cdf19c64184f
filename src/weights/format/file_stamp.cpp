#include "weights/format/file_stamp.h"

#include <sys/stat.h>

namespace easel {
namespace {

std::int64_t nanoseconds(const timespec& time) {
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

std::optional<FileStamp> stamp_of(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0) return std::nullopt;
  return FileStamp{.device = status.st_dev,
                   .inode = status.st_ino,
                   .size = static_cast<std::uint64_t>(status.st_size),
                   .mtime_ns = nanoseconds(status.st_mtim),
                   .ctime_ns = nanoseconds(status.st_ctim)};
}

}  // namespace easel
