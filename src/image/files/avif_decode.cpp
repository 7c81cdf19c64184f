// Decodes the first image of AVIF files with libavif.
#include <avif/avif.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "image/checks.h"
#include "image/files/decoders.h"
#include "image/files/pixel_rows.h"

namespace easel {
namespace {

void check_avif(avifResult result) {
  if (result == AVIF_RESULT_OK) return;
  if (result == AVIF_RESULT_OUT_OF_MEMORY)
    throw Error(ErrorCode::kResourceExhausted, "out of memory when reading an AVIF file");
  throw Error(ErrorCode::kInvalidArgument, concat("the AVIF file is damaged: ", avifResultToString(result)));
}

/// EXIF's name for the rotation and then the mirroring that the file's properties irot and imir ask for.
int orientation_of(const avifImage& image) {
  const bool mirrored = (image.transformFlags & AVIF_TRANSFORM_IMIR) != 0;
  const auto angle = (image.transformFlags & AVIF_TRANSFORM_IROT) != 0 ? image.irot.angle % 4u : 0u;
  // By the angle, in quarters of a turn to the left.
  constexpr int kPlain[] = {1, 8, 3, 6}, kTopToBottom[] = {4, 5, 2, 7}, kLeftToRight[] = {2, 7, 4, 5};
  if (!mirrored) return kPlain[angle];
  return image.imir.mode == 0 ? kTopToBottom[angle] : kLeftToRight[angle];
}

/// Bytes per pixel of the planes in which the codec leaves the image.
double plane_bytes(const avifImage& image, bool alpha) {
  const double sample = image.depth > 8 ? 2 : 1;
  avifPixelFormatInfo format;
  avifGetPixelFormatInfo(image.yuvFormat, &format);
  const double chroma = format.monochrome ? 0 : 2.0 / ((1 << format.chromaShiftX) * (1 << format.chromaShiftY));
  return sample * (1 + chroma + (alpha ? 1 : 0));
}

void convert_to(avifRGBFormat format, std::uint8_t* pixels, const avifImage& image) {
  avifRGBImage rgb;
  avifRGBImageSetDefaults(&rgb, &image);
  rgb.format = format;
  rgb.depth = 8;
  rgb.pixels = pixels;
  rgb.rowBytes = rgb.width * avifRGBImagePixelSize(&rgb);
  check_avif(avifImageYUVToRGB(&image, &rgb));
}

}  // namespace

DecodedImage decode_avif(std::string_view bytes, const ImageFileLimits& limits) {
  const std::unique_ptr<avifDecoder, decltype(&avifDecoderDestroy)> decoder(avifDecoderCreate(), &avifDecoderDestroy);
  if (!decoder) check_avif(AVIF_RESULT_OUT_OF_MEMORY);
  decoder->maxThreads = 1;
  decoder->ignoreExif = decoder->ignoreXMP = AVIF_TRUE;
  // Common encoders leave these properties out or write them wrongly. Pillow reads such files, too.
  decoder->strictFlags = AVIF_STRICT_DISABLED;
  check_avif(avifDecoderSetIOMemory(decoder.get(), reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()));
  check_avif(avifDecoderParse(decoder.get()));
  const auto& image = *decoder->image;
  const bool alpha = decoder->alphaPresent != AVIF_FALSE;
  const int orientation = orientation_of(image);
  // The planes, the result, and either RGBA or the result a second time, turned.
  const int result = kChannels + (alpha ? 1 : 0);
  const double bytes_per_pixel =
      plane_bytes(image, alpha) + result + std::max(alpha ? kChannels + 1 : 0, orientation == 1 ? 0 : result);
  check_decoding(image.width, image.height, bytes_per_pixel, limits);
  check_avif(avifDecoderNextImage(decoder.get()));
  check_decoding(image.width, image.height, bytes_per_pixel, limits);  // what the codec found decides

  auto decoded = allocate_image(image.width, image.height);
  if (image.alphaPlane != nullptr) {
    std::vector<std::uint8_t> rgba(decoded.image.pixels.size() / kChannels * (kChannels + 1));
    convert_to(AVIF_RGB_FORMAT_RGBA, rgba.data(), image);
    split_alpha(rgba.data(), decoded);
  } else {
    convert_to(AVIF_RGB_FORMAT_RGB, decoded.image.pixels.data(), image);
  }
  return upright(std::move(decoded), orientation);
}

}  // namespace easel
