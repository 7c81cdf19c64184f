#include "weights/format/mapped_file.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/text.h"
#include "easel/error.h"

namespace easel {

MappedFile::MappedFile(std::string path)
    : path_(std::move(path)), file_(path_, path_), opened_(file_.state()), size_(opened_.size) {
  if (size_ == 0) return;  // mmap refuses an empty mapping; an empty file is fine
  void* mapped = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file_.descriptor(), 0);
  if (mapped == MAP_FAILED) {
    throw Error(ErrorCode::kNotFound, concat(path_, " cannot be mapped into memory: ", std::strerror(errno)));
  }
  data_ = static_cast<const std::byte*>(mapped);
  guard_.emplace(mapped, size_);
}

MappedFile::~MappedFile() {
  guard_.reset();
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::check_unchanged() const {
  const auto now = file_.state();
  if (now.size < size_) {
    throw Error(ErrorCode::kCorruptData,
                concat(path_, " shrank from ", size_, " to ", now.size, " bytes while in use; load the model again"));
  }
  if (now != opened_ || (guard_ && guard_->truncated())) {
    throw Error(ErrorCode::kCorruptData, path_ + " was written to while in use; load the model again");
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
