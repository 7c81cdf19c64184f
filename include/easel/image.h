// 8-bit images: what a pipeline hands out and a client receives. No torch here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace easel {

/// An 8-bit RGB image, rows from top to bottom, no padding: pixels[(y * width + x) * 3 + channel].
struct Image {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> pixels;  ///< width * height * 3 bytes
};

/// The image as a PNG file (8-bit RGB, no alpha). Thread-safe.
/// @throws Error(kInvalidArgument)    pixels.size() is not width * height * 3, an edge is not positive, or it is
///                                    more than 2^28 bytes; the same holds for the images below
/// @throws Error(kResourceExhausted)  out of memory
std::string encode_png(const Image& image);

/// Standard alphabet (RFC 4648 section 4), padded, no line breaks. Thread-safe.
std::string base64_encode(std::string_view bytes);

/// Resamples to exactly width x height: bicubic when enlarging, area-weighted when reducing, edges clamped.
/// Thread-safe.
/// @throws Error(kInvalidArgument, kResourceExhausted)  as above, for both sizes
Image resize(const Image& image, int width, int height);

/// The middle width x height of an image that is at least as large. Odd margins leave the extra pixel right and below.
/// @throws Error(kInvalidArgument)  larger than the image
Image crop_center(const Image& image, int width, int height);

}  // namespace easel
