#include "provenance/hashes.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string_view>
#include <vector>

#include "core/text.h"
#include "easel/error.h"

namespace easel {
namespace {

namespace fs = std::filesystem;

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
    require(context_ != nullptr && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
  }
  void add(std::string_view bytes) { require(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1); }
  std::string hexadecimal() {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    require(EVP_DigestFinal_ex(context_.get(), digest, &size) == 1);
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text;
    for (unsigned int i = 0; i < size; ++i) {
      text += kDigits[digest[i] >> 4];
      text += kDigits[digest[i] & 15];
    }
    return text;
  }

 private:
  static void require(bool done) {
    if (!done) throw Error(ErrorCode::kInternal, "OpenSSL could not compute a SHA-256 hash");
  }
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

/// The weight files below a path, sorted.
std::vector<fs::path> weight_files(const fs::path& path) {
  std::vector<fs::path> files;
  std::error_code error;
  if (fs::is_regular_file(path, error)) return {path};
  for (fs::recursive_directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
    if (entry->path().extension() == ".safetensors" && entry->is_regular_file(error)) files.push_back(entry->path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

/// @return whether the file could be read
bool add_samples(const fs::path& path, Sha256& hash) {
  constexpr std::uintmax_t kPieces = 8, kPieceBytes = 16 << 10;
  std::error_code error;
  const auto size = fs::file_size(path, error);
  std::ifstream file(path, std::ios::binary);
  if (error || !file) return false;
  hash.add(concat('\0', size, '\0'));
  std::string piece(std::min(size, kPieceBytes), '\0');
  const auto last = size - piece.size();
  for (std::uintmax_t i = 0; i < kPieces; ++i) {
    file.seekg(static_cast<std::streamoff>(last * i / (kPieces - 1)));
    if (!file.read(piece.data(), static_cast<std::streamsize>(piece.size()))) return false;
    hash.add(piece);
  }
  return true;
}

}  // namespace

std::string model_hash(const std::string& path) {
  const auto files = weight_files(path);
  Sha256 hash;
  for (const auto& file : files) {
    // A single file has the same hash under any name.
    if (file != fs::path(path)) hash.add(file.lexically_relative(path).generic_string());
    if (!add_samples(file, hash)) return {};
  }
  return files.empty() ? std::string() : hash.hexadecimal();
}

std::string image_hash(const Image& image) {
  Sha256 hash;
  hash.add(concat(image.width, 'x', image.height, '\0'));
  hash.add({reinterpret_cast<const char*>(image.pixels.data()), image.pixels.size()});
  return hash.hexadecimal();
}

}  // namespace easel
