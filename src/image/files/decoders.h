// One decoder per format, and what they share. Only image_file.cpp uses them, after it has recognised the format.
#pragma once

#include <cstdint>
#include <string_view>

#include "easel/image_file.h"

namespace easel {

constexpr std::string_view kPngSignature = "\x89PNG\r\n\x1a\n";
constexpr std::string_view kJpegSignature = "\xff\xd8\xff";
bool is_webp_file(std::string_view bytes);

// Each as decode_image(), for files that begin with the signature of its format.
DecodedImage decode_png(std::string_view bytes, const ImageFileLimits& limits);
DecodedImage decode_jpeg(std::string_view bytes, const ImageFileLimits& limits, const UsedSize& used_size);
DecodedImage decode_webp(std::string_view bytes, const ImageFileLimits& limits);
DecodedImage decode_gif(std::string_view bytes, const ImageFileLimits& limits);
DecodedImage decode_avif(std::string_view bytes, const ImageFileLimits& limits);
DecodedImage decode_heic(std::string_view bytes, const ImageFileLimits& limits);

/// An image of that size with uninitialised pixels and no alpha. check_decoding() has accepted the size.
DecodedImage allocate_image(std::int64_t width, std::int64_t height);

/// Splits RGBA pixels into the colours and the alpha channel of `image`.
/// @param rgba  width * height * 4 bytes
void split_alpha(const std::uint8_t* rgba, DecodedImage& image);

/// The contents of the first chunk of a type in a WebP file; empty when there is none.
std::string_view webp_chunk_of_type(std::string_view file, std::string_view type);

/// EXIF's orientation tag (0x0112), from 1 (upright) to 8; 1 when the metadata is missing or invalid.
/// @param exif  with or without the prefix "Exif\0\0" that it has in JPEG files
int exif_orientation(std::string_view exif);

/// The image rotated and mirrored so that it is upright. @param orientation  as exif_orientation() returns it
DecodedImage upright(DecodedImage decoded, int orientation);

}  // namespace easel
