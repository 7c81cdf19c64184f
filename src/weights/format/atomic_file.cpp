#include "weights/format/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "core/text.h"
#include "easel/error.h"

namespace easel {
namespace {

Error cannot_write(const std::string& path, int error) {
  const bool full = error == ENOSPC || error == EDQUOT;
  return {full ? ErrorCode::kResourceExhausted : ErrorCode::kInternal,
          concat(path, " cannot be written: ", std::strerror(error))};
}

}  // namespace

AtomicFile::AtomicFile(std::string path)
    : path_(std::move(path)), partial_path_(concat(path_, ".", getpid(), ".partial")) {
  unlink(partial_path_.c_str());  // left by an earlier process of the same number that was killed
  descriptor_ = open(partial_path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ < 0) throw cannot_write(partial_path_, errno);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  unlink(partial_path_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw cannot_write(path_, errno);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void AtomicFile::commit() {
  // Renamed before its bytes are on the disk, a file could be found empty after a power failure.
  if (fsync(descriptor_) != 0) throw cannot_write(path_, errno);
  if (std::rename(partial_path_.c_str(), path_.c_str()) != 0) throw cannot_write(path_, errno);
  close(descriptor_);
  descriptor_ = -1;
}

}  // namespace easel
