// One encoder per format, and what they share. Only image_output.cpp uses them.
#pragma once

#include <string>
#include <string_view>

#include "easel/image.h"
#include "easel/image_metadata.h"

namespace easel {

/// Each as encode(), for images that check_image() accepts.
/// @param quality  0 to 100
std::string png_with_metadata(const Image& image, const ImageMetadata& metadata);
std::string encode_jpeg(const Image& image, int quality, const ImageMetadata& metadata);
std::string encode_webp(const Image& image, int quality, const ImageMetadata& metadata);

/// EXIF with the UserComment and the MakerNote that stand for `parameters` and `record`; empty when there is neither.
/// @param limit  in bytes; what does not fit is left out: first the record, then the parameters
std::string exif_of(const ImageMetadata& metadata, std::size_t limit);

/// An XMP packet with the digital source type; empty when there is none.
std::string xmp_of(const ImageMetadata& metadata);

constexpr std::string_view kXmpPrefix("http://ns.adobe.com/xap/1.0/\0", 29);  ///< of JPEG's segment
constexpr std::string_view kXmpKeyword = "XML:com.adobe.xmp";                 ///< of PNG's text chunk
constexpr std::string_view kParametersKeyword = "parameters", kRecordKeyword = "easel";

}  // namespace easel
