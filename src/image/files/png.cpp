// Writes PNG files with stb_image_write, which only this file uses, and puts text chunks into them.
#include <zlib.h>

#include <cstdlib>
#include <optional>

#include "image/checks.h"
#include "image/files/encoders.h"
#include "image/files/text_encoding.h"

namespace {

/// stb's own compression takes three times as long and makes files that are half as large again.
/// @return allocated with malloc; null if memory is used up
unsigned char* compress_quickly(unsigned char* bytes, int count, int* compressed_count, int) {
  constexpr int kLevel = 1;
  auto size = compressBound(static_cast<uLong>(count));
  auto* const compressed = static_cast<unsigned char*>(std::malloc(size));
  if (compressed == nullptr) return nullptr;
  if (compress2(compressed, &size, bytes, static_cast<uLong>(count), kLevel) != Z_OK) {
    std::free(compressed);
    return nullptr;
  }
  *compressed_count = static_cast<int>(size);
  return compressed;
}

}  // namespace

#define STBIW_ZLIB_COMPRESS compress_quickly
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#include <stb_image_write.h>

namespace easel {
namespace {

// The best filter for generated images. Otherwise each row is filtered in all five ways, to find its best.
constexpr int kPaeth = 4;
[[maybe_unused]] const int forced_filter = stbi_write_force_png_filter = kPaeth;

void append(void* out, void* bytes, int size) {
  static_cast<std::string*>(out)->append(static_cast<const char*>(bytes), static_cast<std::size_t>(size));
}

std::string png_number(std::size_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift);
  return bytes;
}

/// @param type_and_contents  the checksum covers both
std::string png_chunk_of(const std::string& type_and_contents) {
  constexpr std::size_t kTypeBytes = 4;
  const auto check = crc32_z(0, reinterpret_cast<const Bytef*>(type_and_contents.data()), type_and_contents.size());
  return png_number(type_and_contents.size() - kTypeBytes) + type_and_contents + png_number(check);
}

/// Latin-1 where that is enough, as Pillow and AUTOMATIC1111 write it, else UTF-8.
std::string png_text(std::string_view keyword, std::string text) {
  std::erase(text, '\0');
  if (text.empty()) return {};
  if (const auto latin1 = latin1_from_utf8(text)) return png_chunk_of(concat("tEXt", keyword, '\0', *latin1));
  constexpr std::string_view kPlain("\0\0\0\0\0", 5);  // end of keyword; not compressed; no language, no translation
  return png_chunk_of(concat("iTXt", keyword, kPlain, text));
}

}  // namespace

std::string png_with_metadata(const Image& image, const ImageMetadata& metadata) {
  constexpr std::size_t kSignatureAndHeader = 33;
  auto png = encode_png(image);
  auto texts = png_text(kParametersKeyword, metadata.parameters) + png_text(kRecordKeyword, metadata.record) +
               png_text(kXmpKeyword, xmp_of(metadata));
  return texts.empty() ? png : png.insert(kSignatureAndHeader, texts);
}

std::string encode_png(const Image& image) {
  check_image(image);
  std::string png;
  if (!stbi_write_png_to_func(append, &png, image.width, image.height, kChannels, image.pixels.data(),
                              image.width * kChannels)) {
    throw Error(ErrorCode::kResourceExhausted,
                concat("out of memory when encoding an image of ", image.width, " x ", image.height));
  }
  return png;
}

}  // namespace easel
