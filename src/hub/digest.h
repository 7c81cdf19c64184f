// The checksums by which a hub identifies files.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace easel::hub {

enum class DigestKind {
  kSha256,   ///< of the contents; large files
  kGitBlob,  ///< SHA-1 of "blob SIZE\0" and the contents, i.e. git's id of the file; small files
};

/// Computes a checksum piece by piece. Not thread-safe.
class Digest {
 public:
  /// @param size  of the whole file; only used for kGitBlob
  Digest(DigestKind kind, std::uint64_t size);
  ~Digest();
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;

  void update(std::string_view bytes);
  /// The checksum in lower-case hexadecimal. Call once.
  std::string finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace easel::hub
