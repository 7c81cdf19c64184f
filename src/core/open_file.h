// Files of others, opened for reading.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace easel {

/// A regular file, or what a link to one leads to. Opening never waits, as it would for the writer of a pipe.
class OpenFile {
 public:
  /// @param where  what messages call it
  /// @throws Error(kNotFound)     there is none, or it cannot be opened; says why
  /// @throws Error(kCorruptData)  a folder, a device or a pipe
  OpenFile(const std::string& path, std::string where);
  ~OpenFile();
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  int descriptor() const { return descriptor_; }
  /// As it is now. Not when its name, links or rights changed: that leaves the contents, which someone may have mapped.
  struct State {
    std::size_t size;
    std::int64_t written;  ///< when, in nanoseconds since 1970
    bool operator==(const State&) const = default;
  };
  State state() const;
  std::size_t size() const { return state().size; }

 private:
  std::string where_;
  int descriptor_ = -1;
};

/// The whole file.
/// @throws Error(kNotFound, kCorruptData)  as OpenFile; longer than max_bytes, or it cannot be read
std::string read_file(const std::string& path, const std::string& where, std::size_t max_bytes);

}  // namespace easel
