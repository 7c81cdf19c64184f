#include "hub/digest.h"

#include <openssl/evp.h>

#include "core/text.h"
#include "easel/error.h"

namespace easel::hub {

struct Digest::Context {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> md{EVP_MD_CTX_new(), &EVP_MD_CTX_free};
};

Digest::Digest(DigestKind kind, std::uint64_t size) : context_(std::make_unique<Context>()) {
  const auto* algorithm = kind == DigestKind::kSha256 ? EVP_sha256() : EVP_sha1();
  if (context_->md == nullptr || EVP_DigestInit_ex(context_->md.get(), algorithm, nullptr) != 1) {
    throw Error(ErrorCode::kInternal, "OpenSSL cannot compute checksums");
  }
  if (kind == DigestKind::kGitBlob) update(concat("blob ", size) + '\0');
}

Digest::~Digest() = default;

void Digest::update(std::string_view bytes) {
  EVP_DigestUpdate(context_->md.get(), bytes.data(), bytes.size());
}

std::string Digest::finish() {
  static constexpr char kHex[] = "0123456789abcdef";
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_DigestFinal_ex(context_->md.get(), bytes, &size);
  std::string text;
  for (unsigned int i = 0; i < size; ++i) text += {kHex[bytes[i] >> 4], kHex[bytes[i] & 15]};
  return text;
}

}  // namespace easel::hub
