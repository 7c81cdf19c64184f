#include "provenance/hashes.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <vector>

#include "core/digest.h"
#include "core/text.h"

namespace easel {
namespace {

namespace fs = std::filesystem;

/// The weight files below a path, sorted.
std::vector<fs::path> weight_files(const fs::path& path) {
  std::vector<fs::path> files;
  std::error_code error;
  if (fs::is_regular_file(path, error)) return {path};
  for (fs::recursive_directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
    const auto extension = entry->path().extension();
    const bool is_weights = extension == ".safetensors" || extension == ".gguf";
    if (is_weights && entry->is_regular_file(error)) files.push_back(entry->path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

/// @return whether the file could be read
bool add_samples(const fs::path& path, Digest& hash) {
  constexpr std::uintmax_t kPieces = 8, kPieceBytes = 16 << 10;
  std::error_code error;
  const auto size = fs::file_size(path, error);
  std::ifstream file(path, std::ios::binary);
  if (error || !file) return false;
  hash.update(concat('\0', size, '\0'));
  std::string piece(std::min(size, kPieceBytes), '\0');
  const auto last = size - piece.size();
  for (std::uintmax_t i = 0; i < kPieces; ++i) {
    file.seekg(static_cast<std::streamoff>(last * i / (kPieces - 1)));
    if (!file.read(piece.data(), static_cast<std::streamsize>(piece.size()))) return false;
    hash.update(piece);
  }
  return true;
}

}  // namespace

std::string model_hash(const std::string& path) {
  const auto files = weight_files(path);
  Digest hash;
  for (const auto& file : files) {
    // A single file has the same hash under any name.
    if (file != fs::path(path)) hash.update(file.lexically_relative(path).generic_string());
    if (!add_samples(file, hash)) return {};
  }
  return files.empty() ? std::string() : hash.finish_hex();
}

std::string image_hash(const Image& image) {
  Digest hash;
  hash.update(concat(image.width, 'x', image.height, '\0'));
  hash.update({reinterpret_cast<const char*>(image.pixels.data()), image.pixels.size()});
  return hash.finish_hex();
}

}  // namespace easel
