// A file in memory without reading it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace easel {

/// A whole file mapped read-only. Pages come in when they are touched and may leave again under memory pressure.
///
/// Thread-safe. Writing to the bytes ends the process. So does touching pages that another program cut off the file
/// meanwhile (SIGBUS); check_size right before use turns all but a race into an Error.
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

  /// @throws Error(kCorruptData)  the file is shorter now than when it was opened
  void check_size() const;

  /// Lets the pages that lie wholly inside [offset, offset + size) leave memory. Touching them brings them back.
  void release(std::size_t offset, std::size_t size) const;

 private:
  std::string path_;
  int descriptor_ = -1;
  std::size_t size_ = 0;
  const std::byte* data_ = nullptr;
};

}  // namespace easel
