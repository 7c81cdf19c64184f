// Reads EXIF. Its orientation is the only field that matters for the pixels.
#include <cstdint>
#include <utility>
#include <vector>

#include "image/checks.h"
#include "image/decoders.h"
#include "image/tiff.h"

namespace easel {
namespace {

/// Rotates and mirrors pixels of pixel_bytes each. Orientations from 5 on swap rows and columns; then each axis may be
/// reversed.
std::vector<std::uint8_t> turned(const std::vector<std::uint8_t>& pixels, int width, int height, int pixel_bytes,
                                 int orientation) {
  const bool transposed = orientation >= 5;
  const bool mirror_x = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
  const bool mirror_y = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
  const int new_width = transposed ? height : width, new_height = transposed ? width : height;
  std::vector<std::uint8_t> result;
  result.reserve(pixels.size());
  for (int y = 0; y < new_height; ++y) {
    const int from_y = mirror_y ? new_height - 1 - y : y;
    for (int x = 0; x < new_width; ++x) {
      const int from_x = mirror_x ? new_width - 1 - x : x;
      const auto row = static_cast<std::size_t>(transposed ? from_x : from_y);
      const auto column = static_cast<std::size_t>(transposed ? from_y : from_x);
      const auto* pixel = &pixels[(row * static_cast<std::size_t>(width) + column) * pixel_bytes];
      result.insert(result.end(), pixel, pixel + pixel_bytes);
    }
  }
  return result;
}

}  // namespace

Tiff::Tiff(std::string_view exif) {
  if (exif.starts_with(kExifPrefix)) exif.remove_prefix(kExifPrefix.size());
  bytes_ = exif;
  big_endian_ = exif.starts_with("MM");
}

std::uint32_t Tiff::number(std::size_t at, std::size_t size) const {
  if (at > bytes_.size() || size > bytes_.size() - at) return 0;
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < size; ++i) {
    value = value << 8 | static_cast<unsigned char>(bytes_[at + (big_endian_ ? i : size - 1 - i)]);
  }
  return value;
}

std::size_t Tiff::find(std::size_t directory, std::uint32_t tag, std::uint32_t type) const {
  const auto entries = number(directory, 2);
  for (std::size_t i = 0; i < entries; ++i) {
    const auto entry = directory + 2 + i * kTiffEntryBytes;
    if (number(entry, 2) == tag && number(entry + 2, 2) == type) return entry;
  }
  return 0;
}

std::string_view Tiff::undefined_bytes(std::size_t entry) const {
  constexpr std::size_t kInPlace = 4;
  const std::size_t size = number(entry + 4, 4);
  const std::size_t at = size <= kInPlace ? entry + 8 : number(entry + 8, 4);
  return at <= bytes_.size() && size <= bytes_.size() - at ? bytes_.substr(at, size) : std::string_view();
}

int exif_orientation(std::string_view exif) {
  constexpr int kUpright = 1;
  const Tiff tiff(exif);
  if (!tiff.valid()) return kUpright;
  const auto entry = tiff.find(tiff.first_directory(), kOrientationTag, kTiffShort);
  if (entry == 0) return kUpright;
  const auto orientation = tiff.number(entry + 8, 2);
  return orientation >= 1 && orientation <= 8 ? static_cast<int>(orientation) : kUpright;
}

DecodedImage upright(DecodedImage decoded, int orientation) {
  if (orientation == 1) return decoded;
  auto& [image, alpha] = decoded;
  image.pixels = turned(image.pixels, image.width, image.height, kChannels, orientation);
  if (!alpha.empty()) alpha = turned(alpha, image.width, image.height, 1, orientation);
  if (orientation >= 5) std::swap(image.width, image.height);
  return decoded;
}

}  // namespace easel
