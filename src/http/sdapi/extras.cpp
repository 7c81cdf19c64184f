#include "http/sdapi/extras.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/text.h"
#include "http/openai/fields/field_values.h"
#include "http/openai/requests/input_images.h"
#include "http/sdapi/body.h"
#include "http/sdapi/source_images.h"
#include "http/wire/http_error.h"
#include "image/pillow_resize.h"

namespace easel::http::sdapi {
namespace {

using nlohmann::json;
using Size = std::pair<std::int64_t, std::int64_t>;

constexpr std::size_t kMaxBatch = 16;
constexpr double kMaxFactor = 8;

Image read_file(const char* name, const json* value, const ServerOptions& limits) {
  const json nothing;
  return decode_upload(name, decode_file(name, value ? *value : nothing), limits).image;
}

HttpFailure malformed_list() {
  return HttpFailure({.status = 422,
                      .message = concat("`imageList` must be a list of 1 to ", kMaxBatch,
                                        " objects with the member `data`, an image in base64."),
                      .param = "imageList",
                      .code = "invalid_type"});
}

// Scaled to cover a size, or to fit into it.
Size scaled_to(const Size& source, const Size& wanted, bool covers) {
  const auto x = static_cast<double>(wanted.first) / static_cast<double>(source.first);
  const auto y = static_cast<double>(wanted.second) / static_cast<double>(source.second);
  const auto scale = covers ? std::max(x, y) : std::min(x, y);
  const auto edge = [&](std::int64_t pixels) {
    return std::max<std::int64_t>(1, std::llround(static_cast<double>(pixels) * scale));
  };
  return {edge(source.first), edge(source.second)};
}

Size size_of_result(const Upscaling& upscaling, const Size& source) {
  if (upscaling.width > 0 && upscaling.height > 0) {
    const Size wanted(upscaling.width, upscaling.height);
    return upscaling.crop ? wanted : scaled_to(source, wanted, /*covers=*/false);
  }
  const auto edge = [&](std::int64_t pixels) {
    return std::max<std::int64_t>(1, static_cast<std::int64_t>(static_cast<double>(pixels) * upscaling.factor));
  };
  return {edge(source.first), edge(source.second)};
}

}  // namespace

std::vector<Image> read_sources(const json& body, bool several, const ServerOptions& limits) {
  Body members(body);
  std::vector<Image> images;
  if (!several) {
    images.push_back(read_file("image", members.find("image"), limits));
    return images;
  }
  const auto* list = members.find("imageList");
  if (!list || !list->is_array() || list->empty() || list->size() > kMaxBatch) throw malformed_list();
  for (const auto& entry : *list) {
    if (!entry.is_object() || !entry.contains("data")) throw malformed_list();
    images.push_back(read_file("imageList", &entry["data"], limits));
    if (images.size() > 1) check_pixel_bytes("imageList", pixel_bytes(images), limits);
  }
  return images;
}

std::size_t pixel_bytes(const std::vector<Image>& images) {
  std::size_t bytes = 0;
  for (const auto& image : images) bytes += image.pixels.size();
  return bytes;
}

Upscaling read_upscaling(const json& body, const std::vector<ModelDescription>& models) {
  Body members(body);
  Upscaling upscaling;
  const auto mode = members.integer("resize_mode").value_or(0);
  if (mode == 1) {
    upscaling.width = members.integer("upscaling_resize_w").value_or(0);
    upscaling.height = members.integer("upscaling_resize_h").value_or(0);
  }
  const auto factor = members.number("upscaling_resize").value_or(0);
  if (factor > 0) upscaling.factor = std::min(factor, kMaxFactor + 1);
  upscaling.crop = members.flag("upscaling_crop", true);
  const auto name = members.text("upscaler_1").value_or("");
  upscaling.nearest = name == "Nearest";
  if (name.empty() || name == "None" || name == "Lanczos" || name == "Nearest") return upscaling;
  const auto serves = [&](const ModelDescription& model) { return model.id == name && model.upscale_factor > 0; };
  if (std::any_of(models.begin(), models.end(), serves)) {
    upscaling.model = name;
    return upscaling;
  }
  throw HttpFailure(
      {.status = 404,
       .message = concat("Upscaler not found: ", quote(name), "; GET /sdapi/v1/upscalers lists the names."),
       .param = "upscaler_1",
       .code = "Upscaler not found"});
}

void check_size_of(const Upscaling& upscaling, const Image& source, const ServerOptions& limits) {
  const auto [width, height] = size_of_result(upscaling, {source.width, source.height});
  const bool in_range = upscaling.factor <= kMaxFactor && width <= limits.max_edge && height <= limits.max_edge &&
                        width * height <= limits.max_pixels;
  if (in_range) return;
  throw HttpFailure(
      {.status = 400,
       .message = concat("The result would have ", width, "x", height, " pixels; ", describe_size_limits(limits),
                         ", and `upscaling_resize` at most ", kMaxFactor, "."),
       .param = "upscaling_resize",
       .code = "invalid_value"});
}

Image resized(const Image& image, const Image& source, const Upscaling& upscaling) {
  const Size own(source.width, source.height);
  const auto [width, height] = size_of_result(upscaling, own);
  const auto covering = scaled_to(own, {width, height}, /*covers=*/true);
  const bool same_shape = std::abs(covering.first - width) <= 1 && std::abs(covering.second - height) <= 1;
  const auto [wide, high] = same_shape ? Size(width, height) : covering;
  const auto filter = upscaling.nearest ? PillowFilter::kNearest : PillowFilter::kLanczos;
  const auto larger = pillow_resize(image, static_cast<int>(wide), static_cast<int>(high), filter);
  return crop_center(larger, static_cast<int>(width), static_cast<int>(height));
}

}  // namespace easel::http::sdapi
