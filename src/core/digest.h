// Checksums of bytes.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace easel {

enum class DigestKind { kSha1, kSha256 };

/// Computes a checksum piece by piece. Not thread-safe.
class Digest {
 public:
  /// @throws Error(kInternal)  OpenSSL cannot compute it; so do the other methods
  explicit Digest(DigestKind kind = DigestKind::kSha256);
  ~Digest();
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;

  void update(std::string_view bytes);
  /// The bytes of the checksum: 20 for SHA-1, 32 for SHA-256. Call once, or finish_hex().
  std::string finish();
  /// The same in lower-case hexadecimal digits.
  std::string finish_hex();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace easel
