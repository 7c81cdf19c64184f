// A file that appears complete or not at all.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace easel {

/// Writes to a temporary file next to `path`; commit() renames it to `path`, replacing what was there. Without commit()
/// nothing remains. Not thread-safe.
class AtomicFile {
 public:
  /// @throws Error(kInternal)  the temporary file cannot be created; says why
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// @throws Error(kResourceExhausted)  the disk is full
  /// @throws Error(kInternal)           the write failed for another reason; says which
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  /// @throws as write
  void commit();

 private:
  std::string path_, partial_path_;
  int descriptor_ = -1;
};

}  // namespace easel
