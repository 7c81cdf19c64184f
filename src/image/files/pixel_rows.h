// Where decoders put the rows of a file's image.
#pragma once

#include <cstddef>
#include <cstdint>

#include "easel/image_file.h"

namespace easel {

/// Checks a size against the limits, before memory is allocated.
/// @param bytes_per_pixel  of all buffers together that decoding needs, the result included
/// @throws Error(kInvalidArgument)
void check_decoding(std::int64_t width, std::int64_t height, double bytes_per_pixel, const ImageFileLimits& limits);

/// An image that is received row by row and stored upright.
class PixelRows {
 public:
  /// @param width, height  of the rows, in pixels; check_decoding() has accepted them
  /// @param orientation    EXIF's, 1 to 8
  PixelRows(int width, int height, bool alpha, int orientation);

  /// @param y       0 to height - 1
  /// @param pixels  `width` pixels of RGB, or of RGBA where the image has alpha
  void put(int y, const std::uint8_t* pixels) noexcept;

  int width() const { return width_; }
  int height() const { return height_; }
  bool has_alpha() const { return !result_.alpha.empty(); }
  DecodedImage take();

 private:
  int width_, height_;
  // The place of the pixel at (x, y) is first_ + x * x_step_ + y * y_step_.
  std::ptrdiff_t first_, x_step_, y_step_;
  DecodedImage result_;
};

}  // namespace easel
