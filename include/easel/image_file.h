// Reading picture files: bytes that anybody may have sent. No torch here.
#pragma once

#include <cstdint>
#include <string_view>

#include "easel/image.h"

namespace easel {

/// What a picture file may ask for; checked before pixels are allocated.
struct ImageFileLimits {
  std::int64_t max_edge = 8192;             ///< pixels, either edge
  std::int64_t max_pixels = 4096LL * 4096;  ///< width times height
};

/// A PNG file of any kind (gray, palette, 16 bits, interlaced, with transparency) as 8-bit RGB. Transparency and
/// the lower half of 16 bits are dropped, colour profiles and gamma are not applied. Thread-safe.
/// @throws Error(kInvalidArgument)    not a PNG file, a damaged one, or larger than the limits; says which
/// @throws Error(kResourceExhausted)  out of memory
Image decode_png(std::string_view bytes, const ImageFileLimits& limits = {});

}  // namespace easel
