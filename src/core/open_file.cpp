#include "core/open_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/text.h"
#include "easel/error.h"

namespace easel {
namespace {

struct stat status_of(int descriptor, const std::string& where) {
  struct stat status;
  if (fstat(descriptor, &status) != 0) {
    throw Error(ErrorCode::kNotFound, concat(where, " cannot be examined: ", std::strerror(errno)));
  }
  return status;
}

Error open_error(const std::string& path, const std::string& where, int reason) {
  if (reason != ENOENT) {
    return {ErrorCode::kNotFound, concat(where, " cannot be opened: ", std::strerror(reason))};
  }
  struct stat link;
  const bool dangling = lstat(path.c_str(), &link) == 0;
  return {ErrorCode::kNotFound, where + (dangling ? " is a link to a file that is missing" : " is missing")};
}

}  // namespace

OpenFile::OpenFile(const std::string& path, std::string where) : where_(std::move(where)) {
  descriptor_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) throw open_error(path, where_, errno);
  try {
    const auto mode = status_of(descriptor_, where_).st_mode;
    if (!S_ISREG(mode)) {
      throw Error(ErrorCode::kCorruptData,
                  concat(where_, S_ISDIR(mode) ? " is a folder" : " is not a file", ", expected a file"));
    }
  } catch (...) {
    close(descriptor_);
    throw;
  }
}

OpenFile::~OpenFile() {
  close(descriptor_);
}

OpenFile::State OpenFile::state() const {
  constexpr std::int64_t kNanoseconds = 1'000'000'000;
  const auto status = status_of(descriptor_, where_);
  return {static_cast<std::size_t>(status.st_size), status.st_mtim.tv_sec * kNanoseconds + status.st_mtim.tv_nsec};
}

bool path_exists(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0;
}

std::string read_file(const std::string& path, const std::string& where, std::size_t max_bytes) {
  const OpenFile file(path, where);
  const auto size = file.size();
  if (size > max_bytes) {
    throw Error(ErrorCode::kCorruptData, concat(where, " has ", size, " bytes, more than the ", max_bytes, " allowed"));
  }
  std::string contents(size, '\0');
  std::size_t done = 0;
  while (done < size) {
    const auto got = read(file.descriptor(), contents.data() + done, size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error(ErrorCode::kCorruptData, concat(where, " cannot be read: ", std::strerror(errno)));
    if (got == 0) break;  // the file has become shorter
    done += static_cast<std::size_t>(got);
  }
  contents.resize(done);
  return contents;
}

}  // namespace easel
