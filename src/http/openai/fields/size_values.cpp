// The size of a request's images, in each of the ways in which clients write it.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/text.h"
#include "http/openai/fields/field_values.h"
#include "http/wire/fields.h"

namespace easel::http {
namespace {

using Size = std::pair<std::int64_t, std::int64_t>;  // width and height

constexpr std::int64_t kMaxWrittenEdge = 99999;  // of `size`, too
constexpr std::int64_t kMaxRatioNumber = 9999;

void check_size(const std::string& field, const Size& size, const ServerOptions& limits) {
  if (is_allowed_size(size.first, size.second, limits)) return;
  throw field_error(
      field, "invalid_value",
      concat("`", field, "` makes the size ", size.first, "x", size.second, "; ", describe_size_limits(limits), "."));
}

std::optional<Size> size_field(const Fields& fields, const ServerOptions& limits) {
  const auto text = fields.string("size").value_or("auto");
  if (text.empty() || text == "auto") return std::nullopt;
  const auto size = parse_size(text);
  if (!size) {
    throw field_error(
        "size", "invalid_value",
        concat("`size` is ", quote(text), "; expected WIDTHxHEIGHT in pixels, such as 512x512, or auto."));
  }
  check_size("size", *size, limits);
  return size;
}

std::optional<Size> edge_fields(const Fields& fields, const FieldContext& context, ImageRequest& request) {
  const bool has_width = fields.find("width") != nullptr, has_height = fields.find("height") != nullptr;
  if (has_width != has_height) {
    set_aside(context, has_width ? "width" : "height", "has no use without the other edge: send both, or `size`",
              request);
  }
  if (!has_width || !has_height) return std::nullopt;
  const Size size(*fields.integer("width", 1, kMaxWrittenEdge), *fields.integer("height", 1, kMaxWrittenEdge));
  check_size("width", size, context.limits);
  return size;
}

std::optional<std::int64_t> ratio_number(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  if (!whole || number < 1 || number > kMaxRatioNumber) return std::nullopt;
  return number;
}

// "16:9" as 16 and 9; none where the field is absent or auto.
std::optional<Size> ratio_field(const Fields& fields, const char* field) {
  const auto text = fields.string(field).value_or("auto");
  if (text == "auto") return std::nullopt;
  const auto colon = std::min(text.find(':'), text.size());
  const auto width = ratio_number(std::string_view(text).substr(0, colon));
  const auto height = ratio_number(std::string_view(text).substr(std::min(colon + 1, text.size())));
  if (width && height) return Size(*width, *height);
  throw field_error(
      field, "invalid_value",
      concat("`", field, "` is ", quote(text), "; expected two integers with a colon between them, such as 16:9."));
}

bool has_shape(const Size& size, const Size& ratio) {
  return size.first * ratio.second == size.second * ratio.first;
}

}  // namespace

std::pair<std::int64_t, std::int64_t> native_area_size(std::int64_t width, std::int64_t height,
                                                       const ModelDescription& model) {
  const auto area = static_cast<double>(std::int64_t{model.native_width} * model.native_height);
  const auto shape = static_cast<double>(width) / static_cast<double>(height);
  const auto edge = [&](double pixels) {
    return std::max<std::int64_t>(1, std::llround(pixels / model.cell)) * model.cell;
  };
  return {edge(std::sqrt(area * shape)), edge(std::sqrt(area / shape))};
}

bool is_allowed_size(std::int64_t width, std::int64_t height, const ServerOptions& limits) {
  const auto [shorter, longer] = std::minmax(width, height);
  return shorter >= limits.min_edge && longer <= limits.max_edge && width * height <= limits.max_pixels;
}

std::string describe_size_limits(const ServerOptions& limits) {
  return concat("an edge must be from ", limits.min_edge, " to ", limits.max_edge, " pixels, and the image at most ",
                limits.max_pixels, " pixels");
}

void read_size(const Fields& fields, FieldContext& context, ImageRequest& request) {
  auto size = size_field(fields, context.limits);
  const auto edges = edge_fields(fields, context, request);
  if (size && edges && *size != *edges) throw names_with_different_values("size", "width");
  const char* const source = size ? "size" : "width";
  if (!size) size = edges;
  for (const char* field : {"aspect_ratio", "aspectRatio"}) {
    const auto ratio = ratio_field(fields, field);
    if (!ratio) continue;
    if (size && !has_shape(*size, *ratio)) throw names_with_different_values(source, field);
  }
  auto ratio = ratio_field(fields, "aspect_ratio");
  const auto other = ratio_field(fields, "aspectRatio");
  if (ratio && other && !has_shape(*ratio, *other)) throw names_with_different_values("aspect_ratio", "aspectRatio");
  if (!ratio) ratio = other;
  if (!size && ratio) {
    size = native_area_size(ratio->first, ratio->second, *context.model);
    check_size(fields.find("aspect_ratio") ? "aspect_ratio" : "aspectRatio", *size, context.limits);
  }
  if (!size) return;
  request.width = static_cast<int>(size->first);
  request.height = static_cast<int>(size->second);
}

}  // namespace easel::http
