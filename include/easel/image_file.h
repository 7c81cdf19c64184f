// Reading image files from untrusted sources. This header does not need libtorch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "easel/image.h"

namespace easel {

/// How large an image file may be; checked before pixels are allocated.
struct ImageFileLimits {
  std::size_t max_bytes = std::size_t{64} << 20;  ///< size of the file
  std::int64_t max_edge = 8192;                   ///< pixels, either edge
  std::int64_t max_pixels = 4096LL * 4096;        ///< width times height
};

/// The contents of an image file.
struct DecodedImage {
  Image image;
  std::vector<std::uint8_t> alpha;  ///< opacity, width * height bytes, 255 is opaque; empty: the file has no alpha
};

/// Decodes a PNG, JPEG or WebP file, recognised by its first bytes, to 8-bit RGB. Thread-safe.
///
/// PNG: all kinds (gray, palette, 16 bits, interlaced); of 16 bits, the lower 8 are dropped. JPEG: baseline and
/// progressive; gray, RGB, YCbCr, CMYK and YCCK; the last two are converted without a colour profile, and inverted
/// where Adobe's marker says that they are stored inverted. WebP: lossy and lossless, but no animations. Images are
/// rotated and mirrored as their EXIF orientation says. Colour profiles and gamma are not applied, and the colours of
/// transparent pixels are kept.
///
/// @throws Error(kInvalidArgument)    the file is of another kind, damaged, truncated, or over the limits; the message
///                                    says which
/// @throws Error(kResourceExhausted)  out of memory
DecodedImage decode_image(std::string_view bytes, const ImageFileLimits& limits = {});

/// A mask of the transparent parts: white where the image is transparent, black where it is opaque, gray in between.
/// None when no pixel is less than half opaque. Thread-safe.
std::optional<Image> mask_from_alpha(const DecodedImage& image);

/// The mask that a file stands for: mask_from_alpha() where there is one, else the image itself. Thread-safe.
Image mask_from_file(DecodedImage image);

}  // namespace easel
