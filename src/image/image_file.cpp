// Chooses the decoder of a file; code that all decoders share.
#include "easel/image_file.h"

#include <algorithm>
#include <utility>

#include "image/checks.h"
#include "image/decoders.h"

namespace easel {

bool is_webp_file(std::string_view bytes) {
  return bytes.starts_with("RIFF") && bytes.substr(0, 12).ends_with("WEBP");
}

DecodedImage decode_image(std::string_view bytes, const ImageFileLimits& limits) {
  if (bytes.size() > limits.max_bytes) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("the file has ", bytes.size(), " bytes; at most ", limits.max_bytes, " are accepted"));
  }
  if (bytes.empty()) throw Error(ErrorCode::kInvalidArgument, "the file is empty");
  if (bytes.starts_with(kPngSignature)) return decode_png(bytes, limits);
  if (bytes.starts_with(kJpegSignature)) return decode_jpeg(bytes, limits);
  if (is_webp_file(bytes)) return decode_webp(bytes, limits);
  throw Error(ErrorCode::kInvalidArgument, "this is neither a PNG nor a JPEG nor a WebP file");
}

std::optional<Image> mask_from_alpha(const DecodedImage& image) {
  constexpr std::uint8_t kHalf = 128;
  const auto& alpha = image.alpha;
  if (std::none_of(alpha.begin(), alpha.end(), [](std::uint8_t opacity) { return opacity < kHalf; })) {
    return std::nullopt;
  }
  Image mask{.width = image.image.width, .height = image.image.height, .pixels = {}};
  mask.pixels.reserve(alpha.size() * kChannels);
  for (const auto opacity : alpha)
    mask.pixels.insert(mask.pixels.end(), kChannels, static_cast<std::uint8_t>(255 - opacity));
  return mask;
}

Image mask_from_file(DecodedImage image) {
  auto transparent = mask_from_alpha(image);
  return transparent ? std::move(*transparent) : std::move(image.image);
}

DecodedImage allocate_image(std::int64_t width, std::int64_t height, const ImageFileLimits& limits) {
  if (width > limits.max_edge || height > limits.max_edge || width * height > limits.max_pixels) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("the image is ", width, " x ", height, "; at most ", limits.max_edge,
                       " pixels along an edge and ", limits.max_pixels, " pixels in all are accepted"));
  }
  check_size(width, height);
  DecodedImage image{.image = {.width = static_cast<int>(width), .height = static_cast<int>(height), .pixels = {}},
                     .alpha = {}};
  image.image.pixels.resize(static_cast<std::size_t>(width * height) * kChannels);
  return image;
}

void split_alpha(const std::uint8_t* rgba, DecodedImage& image) {
  const auto count = image.image.pixels.size() / kChannels;
  image.alpha.resize(count);
  auto* rgb = image.image.pixels.data();
  for (std::size_t i = 0; i < count; ++i, rgba += kChannels + 1) {
    for (int c = 0; c < kChannels; ++c) *rgb++ = rgba[c];
    image.alpha[i] = rgba[kChannels];
  }
}

}  // namespace easel
