#include "core/digest.h"

#include <openssl/evp.h>

#include <array>

#include "easel/error.h"

namespace easel {
namespace {

void require(bool done) {
  if (!done) throw Error(ErrorCode::kInternal, "OpenSSL could not compute a checksum");
}

}  // namespace

struct Digest::Context {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> md{EVP_MD_CTX_new(), &EVP_MD_CTX_free};
};

Digest::Digest(DigestKind kind) : context_(std::make_unique<Context>()) {
  const auto* algorithm = kind == DigestKind::kSha256 ? EVP_sha256() : EVP_sha1();
  require(context_->md != nullptr && EVP_DigestInit_ex(context_->md.get(), algorithm, nullptr) == 1);
}

Digest::~Digest() = default;

void Digest::update(std::string_view bytes) {
  require(EVP_DigestUpdate(context_->md.get(), bytes.data(), bytes.size()) == 1);
}

std::string Digest::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned int size = 0;
  require(EVP_DigestFinal_ex(context_->md.get(), bytes.data(), &size) == 1);
  return {bytes.begin(), bytes.begin() + size};
}

std::string Digest::finish_hex() {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const char byte : finish()) {
    const auto value = static_cast<unsigned char>(byte);
    text += {kDigits[value >> 4], kDigits[value & 15]};
  }
  return text;
}

}  // namespace easel
