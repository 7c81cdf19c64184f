// Image files as a server or a command writes them. This header does not need libtorch.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "easel/image.h"
#include "easel/image_metadata.h"

namespace easel {

enum class ImageFormat { kPng, kJpeg, kWebp };

/// How an image is written as a file.
struct OutputFormat {
  ImageFormat format = ImageFormat::kPng;
  int compression = 100;  ///< quality of JPEG and WebP, 0 to 100; a lower one makes smaller files. PNG ignores it
};

/// "png", "jpeg" or "webp". Thread-safe, as the functions below.
std::string_view format_name(ImageFormat format);
/// The format of that name, and of "jpg"; none for any other text.
std::optional<ImageFormat> format_named(std::string_view name);
/// The media type of such files, for a Content-Type.
std::string_view media_type(ImageFormat format);
/// The customary end of a file name: ".png", ".jpg" or ".webp".
std::string_view file_extension(ImageFormat format);

/// The image as a file, 8-bit RGB without alpha.
///
/// PNG: lossless. JPEG: baseline, without chroma subsampling. WebP: lossy at every quality, with 4:2:0 chroma.
/// The metadata is written where other programs look for it. `parameters`: in PNG the text chunk "parameters", in JPEG
/// and WebP EXIF's UserComment. `record`: in PNG the text chunk "easel", in the others EXIF's MakerNote. `source`: an
/// XMP packet. A JPEG segment holds 64 KiB: of a record or parameters that do not fit into one, the record is left out
/// first, then the parameters. Characters that these texts cannot have (NUL) are left out.
///
/// @throws Error(kInvalidArgument)    as encode_png(), `compression` is out of range, or an edge is longer than the
///                                    format allows (JPEG 65,500, WebP 16,383)
/// @throws Error(kResourceExhausted)  out of memory
std::string encode(const Image& image, const OutputFormat& format, const ImageMetadata& metadata = {});

}  // namespace easel
