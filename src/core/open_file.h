// Opens untrusted files for reading.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace easel {

/// An open regular file; symbolic links are followed. Opening never blocks, which it otherwise would on a pipe without
/// a writer.
class OpenFile {
 public:
  /// @param where  the name of the file in messages
  /// @throws Error(kNotFound)     the file does not exist or cannot be opened; the message says why
  /// @throws Error(kCorruptData)  it is a folder, a device or a pipe
  OpenFile(const std::string& path, std::string where);
  ~OpenFile();
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  int descriptor() const { return descriptor_; }
  /// Size and modification time. Renaming, linking and changing permissions do not alter them, since the contents,
  /// which may be mapped, stay the same.
  struct State {
    std::size_t size;
    std::int64_t written;  ///< time of the last modification, in nanoseconds since 1970
    bool operator==(const State&) const = default;
  };
  State state() const;
  std::size_t size() const { return state().size; }

 private:
  std::string where_;
  int descriptor_ = -1;
};

/// Whether there is anything of that name, so that a folder in a file's place is reported when it is opened, not passed
/// over. False where it cannot be found out. Thread-safe.
bool path_exists(const std::string& path);

/// Reads a whole file.
/// @throws Error(kNotFound, kCorruptData)  as OpenFile; also when the file is longer than max_bytes or cannot be read
std::string read_file(const std::string& path, const std::string& where, std::size_t max_bytes);

}  // namespace easel
