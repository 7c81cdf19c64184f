// 8-bit images: what a pipeline returns and a client receives. This header does not need libtorch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace easel {

/// An 8-bit RGB image, rows from top to bottom, no padding: pixels[(y * width + x) * kChannels + channel].
struct Image {
  static constexpr int kChannels = 3;

  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> pixels;  ///< width * height * kChannels bytes
};

/// The image as a PNG file (8-bit RGB, no alpha). Thread-safe.
/// @throws Error(kInvalidArgument)    pixels.size() is not width * height * 3, an edge is not positive, or the image
/// has
///                                    more than 2^28 bytes; the functions below throw for the same reasons
/// @throws Error(kResourceExhausted)  out of memory
std::string encode_png(const Image& image);

/// Resamples to exactly width x height: bicubic where it enlarges, area-weighted where it reduces, edges clamped.
/// Thread-safe.
/// @throws Error(kInvalidArgument, kResourceExhausted)  as encode_png(), for both sizes
Image resize(const Image& image, int width, int height);

/// The middle width x height pixels of an image. Where a margin is odd, the extra pixel is cut from the right or the
/// bottom. Thread-safe.
/// @throws Error(kInvalidArgument)  as encode_png(), or the image is smaller than width x height
Image crop_center(const Image& image, int width, int height);

}  // namespace easel
