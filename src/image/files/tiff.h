// The TIFF structure inside EXIF (JEITA CP-3451, chapter 4).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace easel {

/// Reads numbers and entries. Reads beyond the end give 0 and empty text, so that no damage has to be checked for.
class Tiff {
 public:
  /// @param exif  with or without the prefix "Exif\0\0" that it has in JPEG files
  explicit Tiff(std::string_view exif);

  bool valid() const { return (big_endian_ || bytes_.starts_with("II")) && number(2, 2) == 42; }
  /// @param size  in bytes, 1 to 4
  std::uint32_t number(std::size_t at, std::size_t size) const;
  /// Position of the first directory.
  std::size_t first_directory() const { return number(4, 4); }
  /// Position of the directory's entry of that tag and type; 0 where there is none.
  std::size_t find(std::size_t directory, std::uint32_t tag, std::uint32_t type) const;
  /// The bytes that an entry of type UNDEFINED holds.
  std::string_view undefined_bytes(std::size_t entry) const;

 private:
  std::string_view bytes_;
  bool big_endian_;
};

constexpr std::string_view kExifPrefix("Exif\0\0", 6);
constexpr std::size_t kTiffEntryBytes = 12;
constexpr std::uint32_t kTiffShort = 3, kTiffLong = 4, kTiffUndefined = 7;  ///< types of entries
constexpr std::uint32_t kOrientationTag = 0x0112, kExifDirectoryTag = 0x8769, kMakerNoteTag = 0x927C,
                        kUserCommentTag = 0x9286;

}  // namespace easel
