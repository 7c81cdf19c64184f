// One decoder a format, and what they share. Used by image_file.cpp alone, which has seen the signature.
#pragma once

#include <cstdint>
#include <string_view>

#include "easel/image_file.h"

namespace easel {

// Each as decode_image(), for files that begin as its format does.
DecodedImage decode_png(std::string_view bytes, const ImageFileLimits& limits);
DecodedImage decode_jpeg(std::string_view bytes, const ImageFileLimits& limits);
DecodedImage decode_webp(std::string_view bytes, const ImageFileLimits& limits);

/// An image of that size with its pixels allocated, after the limits are checked.
/// @throws Error(kInvalidArgument)  over the limits
DecodedImage allocate_image(std::int64_t width, std::int64_t height, const ImageFileLimits& limits);

/// Takes rows of RGBA apart into colours and opacity. `alpha` becomes one byte a pixel.
/// @param rgba  width * height * 4 bytes
void split_alpha(const std::uint8_t* rgba, DecodedImage& image);

/// How a camera was held: EXIF's tag 0x0112, from 1 (upright) to 8. Metadata that makes no sense means upright.
/// @param exif  with or without the "Exif" and two zeros that begin it in JPEG files
int exif_orientation(std::string_view exif);

/// The image turned and mirrored as the orientation asks, so that it stands upright.
DecodedImage upright(DecodedImage decoded, int orientation);

}  // namespace easel
