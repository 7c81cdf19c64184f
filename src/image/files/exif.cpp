// Reads EXIF. Its orientation is the only field that matters for the pixels.
#include <cstdint>

#include "image/files/decoders.h"
#include "image/files/tiff.h"

namespace easel {

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

}  // namespace easel
