// Chooses the decoder of a file; code that all decoders share.
#include "easel/image_file.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "image/checks.h"
#include "image/files/decoders.h"

namespace easel {

namespace {

/// Whether the first box of an ISO base media file (ISO/IEC 14496-12) names one of these brands.
bool has_brand(std::string_view bytes, std::initializer_list<std::string_view> brands) {
  constexpr std::size_t kBoxHead = 8, kBrand = 4, kMostBrands = 32;
  if (bytes.size() < kBoxHead || bytes.substr(4, 4) != "ftyp") return false;
  const auto size = std::min<std::size_t>(static_cast<unsigned char>(bytes[3]), kBoxHead + kBrand * kMostBrands);
  const auto box = bytes.substr(0, size);
  for (std::size_t at = kBoxHead; at + kBrand <= box.size(); at += kBrand) {
    const bool version = at == kBoxHead + kBrand;  // between the main brand and the compatible ones
    if (!version && std::find(brands.begin(), brands.end(), box.substr(at, kBrand)) != brands.end()) return true;
  }
  return false;
}

/// Names the format where it is one that people try.
Error unknown_format(std::string_view bytes) {
  constexpr std::string_view kAccepted = "PNG, JPEG, WebP, GIF, AVIF or HEIC";
  constexpr std::pair<std::string_view, const char*> kRefused[] = {
      {"BM", "a BMP file"},
      {std::string_view("II*\0", 4), "a TIFF file"},
      {std::string_view("MM\0*", 4), "a TIFF file"},
      {std::string_view("\0\0\0\x0cJXL ", 8), "a JPEG XL file"},
      {"\xff\x0a", "a JPEG XL file"},
      {std::string_view("\0\0\0\x0cjP  ", 8), "a JPEG 2000 file"}};
  for (const auto& [signature, name] : kRefused) {
    if (bytes.starts_with(signature))
      return {ErrorCode::kInvalidArgument,
              concat("this is ", name, ", which is not supported; save it as ", kAccepted)};
  }
  return {ErrorCode::kInvalidArgument, concat("this is not a ", kAccepted, " file")};
}

}  // namespace

bool is_webp_file(std::string_view bytes) {
  return bytes.starts_with("RIFF") && bytes.substr(0, 12).ends_with("WEBP");
}

DecodedImage decode_image(std::string_view bytes, const ImageFileLimits& limits, const UsedSize& used_size) {
  if (bytes.size() > limits.max_bytes) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("the file has ", bytes.size(), " bytes; at most ", limits.max_bytes, " are accepted"));
  }
  if (bytes.empty()) throw Error(ErrorCode::kInvalidArgument, "the file is empty");
  if (bytes.starts_with(kPngSignature)) return decode_png(bytes, limits);
  if (bytes.starts_with(kJpegSignature)) return decode_jpeg(bytes, limits, used_size);
  if (is_webp_file(bytes)) return decode_webp(bytes, limits);
  if (bytes.starts_with("GIF87a") || bytes.starts_with("GIF89a")) return decode_gif(bytes, limits);
  if (has_brand(bytes, {"avif", "avis"})) return decode_avif(bytes, limits);
  if (has_brand(bytes, {"heic", "heix", "hevc", "hevx", "heim", "heis", "mif1", "msf1"}))
    return decode_heic(bytes, limits);
  throw unknown_format(bytes);
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

DecodedImage allocate_image(std::int64_t width, std::int64_t height) {
  DecodedImage image{.image = {.width = static_cast<int>(width), .height = static_cast<int>(height), .pixels = {}},
                     .alpha = {},
                     .original_size = {static_cast<int>(width), static_cast<int>(height)}};
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
