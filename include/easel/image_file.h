// Reading image files from untrusted sources. This header does not need libtorch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "easel/image.h"

namespace easel {

/// How large an image file may be; checked before pixels are allocated.
struct ImageFileLimits {
  std::size_t max_bytes = std::size_t{64} << 20;  ///< size of the file
  std::int64_t max_edge = 16384;                  ///< pixels, either edge
  std::int64_t max_pixels = 64'000'000;           ///< width times height
  std::int64_t max_memory = 256LL << 20;          ///< bytes that decoding may hold at a time, the result included
};

/// The contents of an image file.
struct DecodedImage {
  Image image;
  std::vector<std::uint8_t> alpha;  ///< opacity, width * height bytes, 255 is opaque; empty: the file has no alpha
  std::pair<int, int> original_size = {0, 0};  ///< width and height of the file's image, upright; `image` is smaller
                                               ///< where a JPEG file was decoded at a fraction of its size
};

/// The width and height in pixels at which an image will be used, from its own; both upright.
using UsedSize = std::function<std::pair<int, int>(int width, int height)>;

/// Decodes an image file, recognised by its first bytes, to 8-bit RGB. Thread-safe.
///
/// PNG: all kinds (gray, palette, 16 bits, interlaced); of 16 bits, the lower 8 are dropped. JPEG: baseline and
/// progressive; gray, RGB, YCbCr, CMYK and YCCK; the last two are converted without a colour profile, and inverted
/// where Adobe's marker says that they are stored inverted. WebP: lossy and lossless. GIF. AVIF. HEIC, where easel was
/// built with libheif. Of an animation, the first frame is taken. Images are rotated and mirrored as their EXIF
/// orientation says; those of AVIF and HEIC files as the file's own properties say. Colour profiles and gamma are not
/// applied, and the colours of transparent pixels are kept.
///
/// @param used_size  if given, a JPEG file with more than four times the pixels of that size is decoded at the fraction
///                   1/2, 1/4 or 1/8 that Pillow's Image.draft chooses
/// @throws Error(kInvalidArgument)    the file is of another kind, damaged, truncated, or over the limits; the message
///                                    says which
/// @throws Error(kResourceExhausted)  out of memory
DecodedImage decode_image(std::string_view bytes, const ImageFileLimits& limits = {}, const UsedSize& used_size = {});

/// A mask of the transparent parts: white where the image is transparent, black where it is opaque, gray in between.
/// None when no pixel is less than half opaque. Thread-safe.
std::optional<Image> mask_from_alpha(const DecodedImage& image);

/// The mask that a file stands for: mask_from_alpha() where there is one, else the image itself. Thread-safe.
Image mask_from_file(DecodedImage image);

}  // namespace easel
