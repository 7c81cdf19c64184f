#include "http/sdapi/source_images.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base64.h"
#include "core/text.h"
#include "easel/image.h"
#include "easel/image_file.h"
#include "http/openai/requests/input_images.h"
#include "http/wire/http_error.h"

namespace easel::http::sdapi {
namespace {

using nlohmann::json;

HttpFailure unreadable(const char* name, const std::string& why) {
  return HttpFailure(
      {.status = 422, .message = concat("`", name, "` ", why, "."), .param = name, .code = "invalid_value"});
}

// Scaled so that it covers the size, then cut in the middle.
Image cover(const Image& image, int width, int height) {
  const auto scale = std::max(static_cast<double>(width) / image.width, static_cast<double>(height) / image.height);
  const auto scaled = [&](int edge, int least) { return std::max(least, static_cast<int>(std::lround(edge * scale))); };
  return crop_center(resize(image, scaled(image.width, width), scaled(image.height, height)), width, height);
}

// On white. On easel's own routes the transparent parts of an image are its mask.
Image flattened(const DecodedImage& source) {
  auto image = source.image;
  for (std::size_t i = 0; i < source.alpha.size(); ++i) {
    for (std::size_t channel = 0; channel < Image::kChannels; ++channel) {
      auto& value = image.pixels[i * Image::kChannels + channel];
      value = static_cast<std::uint8_t>((value * source.alpha[i] + 255 * (255 - source.alpha[i]) + 127) / 255);
    }
  }
  return image;
}

Image gray_of(DecodedImage mask) {
  const auto& alpha = mask.alpha;
  const bool opaque = std::all_of(alpha.begin(), alpha.end(), [](std::uint8_t value) { return value == 255; });
  if (opaque) return std::move(mask.image);
  Image gray{.width = mask.image.width, .height = mask.image.height, .pixels = {}};
  gray.pixels.reserve(alpha.size() * Image::kChannels);
  for (const auto value : alpha) gray.pixels.insert(gray.pixels.end(), Image::kChannels, value > 128 ? 255 : 0);
  return gray;
}

}  // namespace

std::string decode_file(const char* name, const json& value) {
  if (!value.is_string()) throw unreadable(name, "must be text in base64");
  std::string_view text = value.get_ref<const std::string&>();
  if (text.starts_with("data:")) {
    const auto comma = text.find(',');
    if (comma == std::string_view::npos) throw unreadable(name, "is a data URL without data");
    text.remove_prefix(comma + 1);
  }
  auto bytes = base64_decode(text);
  if (!bytes) throw unreadable(name, "is not valid base64");
  return std::move(*bytes);
}

void SourceImages::read(const json* images, const json* mask, ImageUpload& upload) const {
  if (!images || !images->is_array() || images->empty()) {
    throw HttpFailure({.status = 404, .message = "Init image not found", .param = "init_images"});
  }
  const bool shaped = crop && width > 0;
  const auto fit = [&](const Image& image) {
    const bool in_range = width <= limits.max_edge && height <= limits.max_edge;
    return shaped && in_range ? cover(image, static_cast<int>(width), static_cast<int>(height)) : image;
  };
  std::pair<int, int> first_size;
  for (std::size_t i = 0; i < std::min(images->size(), most); ++i) {
    auto bytes = decode_file("init_images", (*images)[i]);
    const auto source = decode_upload("init_images", bytes, limits);
    if (i == 0) first_size = {source.image.width, source.image.height};
    const bool as_sent = !shaped && source.alpha.empty();
    upload.images.push_back(as_sent ? std::move(bytes) : encode_png(fit(flattened(source))));
  }
  if (!mask) return;
  auto gray = gray_of(decode_upload("mask", decode_file("mask", *mask), limits));
  gray = fit(resize(gray, first_size.first, first_size.second));
  if (inverted) {
    for (auto& value : gray.pixels) value = static_cast<std::uint8_t>(255 - value);
  }
  upload.mask = encode_png(gray);
}

}  // namespace easel::http::sdapi
