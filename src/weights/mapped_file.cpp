#include "weights/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/text.h"
#include "easel/error.h"

namespace easel {
namespace {

/// The size of a regular file.
std::size_t regular_size(int descriptor, const std::string& path) {
  struct stat status;
  if (fstat(descriptor, &status) != 0) {
    throw Error(ErrorCode::kNotFound, concat(path, " cannot be examined: ", std::strerror(errno)));
  }
  if (!S_ISREG(status.st_mode)) {
    throw Error(ErrorCode::kCorruptData,
                concat(path, S_ISDIR(status.st_mode) ? " is a folder" : " is not a file", ", expected a file"));
  }
  return static_cast<std::size_t>(status.st_size);
}

}  // namespace

MappedFile::MappedFile(std::string path) : path_(std::move(path)) {
  // Non-blocking, so that a pipe of this name is refused below and not waited for.
  descriptor_ = open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) {
    throw Error(ErrorCode::kNotFound,
                errno == ENOENT ? path_ + " is missing" : concat(path_, " cannot be opened: ", std::strerror(errno)));
  }
  try {
    size_ = regular_size(descriptor_, path_);
    if (size_ == 0) return;  // an empty mapping is an error to mmap, not to us
    void* mapped = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor_, 0);
    if (mapped == MAP_FAILED) {
      throw Error(ErrorCode::kNotFound, concat(path_, " cannot be mapped into memory: ", std::strerror(errno)));
    }
    data_ = static_cast<const std::byte*>(mapped);
  } catch (...) {
    close(descriptor_);
    throw;
  }
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
  close(descriptor_);
}

void MappedFile::check_size() const {
  const std::size_t now = regular_size(descriptor_, path_);
  if (now < size_) {
    throw Error(ErrorCode::kCorruptData, concat(path_, " shrank from ", size_, " to ", now, " bytes while in use"));
  }
}

void MappedFile::release(std::size_t offset, std::size_t size) const {
  if (offset > size_ || size > size_ - offset) return;
  const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t begin = (offset + page - 1) / page * page;
  const std::size_t end = (offset + size) / page * page;
  if (begin < end) madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED);
}

}  // namespace easel
