// The formats of image files, and the choice of the encoder.
#include "easel/image_output.h"

#include "image/checks.h"
#include "image/files/encoders.h"

namespace easel {

std::string_view format_name(ImageFormat format) {
  switch (format) {
    case ImageFormat::kPng:
      return "png";
    case ImageFormat::kJpeg:
      return "jpeg";
    case ImageFormat::kWebp:
      break;
  }
  return "webp";
}

std::optional<ImageFormat> format_named(std::string_view name) {
  if (name == "jpg") return ImageFormat::kJpeg;
  for (const auto format : {ImageFormat::kPng, ImageFormat::kJpeg, ImageFormat::kWebp}) {
    if (format_name(format) == name) return format;
  }
  return std::nullopt;
}

std::string_view media_type(ImageFormat format) {
  switch (format) {
    case ImageFormat::kPng:
      return "image/png";
    case ImageFormat::kJpeg:
      return "image/jpeg";
    case ImageFormat::kWebp:
      break;
  }
  return "image/webp";
}

std::string_view file_extension(ImageFormat format) {
  switch (format) {
    case ImageFormat::kPng:
      return ".png";
    case ImageFormat::kJpeg:
      return ".jpg";
    case ImageFormat::kWebp:
      break;
  }
  return ".webp";
}

std::string encode(const Image& image, const OutputFormat& format, const ImageMetadata& metadata) {
  constexpr int kBestQuality = 100;
  check_image(image);
  if (format.compression < 0 || format.compression > kBestQuality) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("a compression of ", format.compression, " is not between 0 and ", kBestQuality));
  }
  switch (format.format) {
    case ImageFormat::kPng:
      break;
    case ImageFormat::kJpeg:
      return encode_jpeg(image, format.compression, metadata);
    case ImageFormat::kWebp:
      return encode_webp(image, format.compression, metadata);
  }
  return png_with_metadata(image, metadata);
}

}  // namespace easel
