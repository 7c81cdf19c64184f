// Decodes WebP files with libwebp.
#include <webp/decode.h>

#include <algorithm>
#include <string>
#include <utility>

#include "image/checks.h"
#include "image/decoders.h"

namespace easel {
namespace {

const char* status_message(VP8StatusCode status) {
  switch (status) {
    case VP8_STATUS_NOT_ENOUGH_DATA:
      return "the file ends too early";
    case VP8_STATUS_UNSUPPORTED_FEATURE:
      return "it uses a feature that libwebp does not support";
    default:
      return "its data is invalid";
  }
}

void check(VP8StatusCode status) {
  if (status == VP8_STATUS_OK) return;
  if (status == VP8_STATUS_OUT_OF_MEMORY)
    throw Error(ErrorCode::kResourceExhausted, "out of memory when reading a WebP file");
  throw Error(ErrorCode::kInvalidArgument, concat("the WebP file is damaged: ", status_message(status)));
}

std::size_t little_endian(std::string_view bytes) {
  std::size_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

}  // namespace

std::string_view webp_chunk_of_type(std::string_view file, std::string_view type) {
  constexpr std::size_t kFileHead = 12, kChunkHead = 8;
  auto rest = file.substr(kFileHead);
  while (rest.size() > kChunkHead) {
    const auto size = little_endian(rest.substr(4, 4));
    if (rest.starts_with(type)) return rest.substr(kChunkHead, size);
    rest = rest.substr(std::min(rest.size(), kChunkHead + size + size % 2));
  }
  return {};
}

DecodedImage decode_webp(std::string_view bytes, const ImageFileLimits& limits) {
  const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
  WebPDecoderConfig config;
  WebPInitDecoderConfig(&config);
  check(WebPGetFeatures(data, bytes.size(), &config.input));
  if (config.input.has_animation) {
    throw Error(ErrorCode::kInvalidArgument, "the WebP file is an animation; expected a single image");
  }
  auto image = allocate_image(config.input.width, config.input.height, limits);
  const bool transparent = config.input.has_alpha != 0;
  const int pixel_bytes = transparent ? kChannels + 1 : kChannels;
  const auto count = image.image.pixels.size() / kChannels;
  std::vector<std::uint8_t> rgba(transparent ? count * (kChannels + 1) : 0);

  config.output.colorspace = transparent ? MODE_RGBA : MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA = {.rgba = transparent ? rgba.data() : image.image.pixels.data(),
                          .stride = config.input.width * pixel_bytes,
                          .size = count * static_cast<std::size_t>(pixel_bytes)};
  check(WebPDecode(data, bytes.size(), &config));
  if (transparent) split_alpha(rgba.data(), image);
  return upright(std::move(image), exif_orientation(webp_chunk_of_type(bytes, "EXIF")));
}

}  // namespace easel
