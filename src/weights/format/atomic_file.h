// A file that appears whole or not at all.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace easel {

/// Writes beside `path`, and takes its place, replacing what was there, with commit(). Without that nothing remains.
/// Not thread-safe.
class AtomicFile {
 public:
  /// @throws Error(kInternal)  cannot be created; says why
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// @throws Error(kResourceExhausted, kInternal)  the disk is full; another reason
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  /// @throws as write
  void commit();

 private:
  std::string path_, partial_path_;
  int descriptor_ = -1;
};

}  // namespace easel
