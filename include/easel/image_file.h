// Reading image files: bytes that anybody may have sent. No torch here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "easel/image.h"

namespace easel {

/// What an image file may ask for; checked before pixels are allocated.
struct ImageFileLimits {
  std::size_t max_bytes = std::size_t{64} << 20;  ///< of the file
  std::int64_t max_edge = 8192;                   ///< pixels, either edge
  std::int64_t max_pixels = 4096LL * 4096;        ///< width times height
};

/// What a file shows.
struct DecodedImage {
  Image image;
  std::vector<std::uint8_t> alpha;  ///< opacity, width * height bytes, 255 is opaque; empty: the file holds none
};

/// A PNG, JPEG or WebP file as 8-bit RGB; which one, its first bytes say. Thread-safe.
///
/// PNG: every kind (gray, palette, 16 bits, interlaced); the lower half of 16 bits is dropped. JPEG: baseline and
/// progressive; gray, RGB, YCbCr, CMYK and YCCK, the last two by the plain formula without a profile, inverted where
/// Adobe wrote them so. WebP: lossy and lossless, no animations. All are turned upright as EXIF says. Colour profiles
/// and gamma are not applied, and colours under transparent pixels stay as they are.
///
/// @throws Error(kInvalidArgument)    another kind of file, one that is damaged or cut off, or larger than the limits;
///                                    says which
/// @throws Error(kResourceExhausted)  out of memory
DecodedImage decode_image(std::string_view bytes, const ImageFileLimits& limits = {});

/// Where the image is transparent: white there, black where it is opaque, gray between. None when its opacity is
/// nowhere below one half. Thread-safe.
std::optional<Image> mask_from_alpha(const DecodedImage& image);

/// Bytes of base64 as base64_encode() writes it; strict: padded, nothing outside the alphabet, unused bits 0. None for
/// any other text. Thread-safe.
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace easel
