#include "pipelines/images/reference_images.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "image/pillow_resize.h"

namespace easel {
namespace {

/// Half of a difference, rounded down for negative ones as well.
int half_margin(int image_edge, int edge) {
  const int difference = image_edge - edge;
  return difference >= 0 ? difference / 2 : -((1 - difference) / 2);
}

}  // namespace

std::pair<int, int> size_within_area(int width, int height, std::int64_t area) {
  const auto pixels = std::int64_t{width} * height;
  if (pixels <= area) return {width, height};
  const double scale = std::sqrt(static_cast<double>(area) / static_cast<double>(pixels));
  return {static_cast<int>(width * scale), static_cast<int>(height * scale)};
}

Image within_area(const Image& image, std::int64_t area) {
  const auto [width, height] = size_within_area(image.width, image.height, area);
  if (width == image.width && height == image.height) return image;
  return pillow_resize(image, width, height, PillowFilter::kLanczos);
}

Image crop_or_extend(const Image& image, int width, int height) {
  Image result{.width = width, .height = height, .pixels = {}};
  result.pixels.resize(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * Image::kChannels);
  const int left = half_margin(image.width, width), top = half_margin(image.height, height);
  const int first_column = std::max(0, -left), end_column = std::min(width, image.width - left);
  for (int y = std::max(0, -top); y < std::min(height, image.height - top); ++y) {
    const auto from = (static_cast<std::size_t>(y + top) * static_cast<std::size_t>(image.width) +
                       static_cast<std::size_t>(first_column + left)) *
                      Image::kChannels;
    const auto to =
        (static_cast<std::size_t>(y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(first_column)) *
        Image::kChannels;
    std::copy_n(image.pixels.begin() + static_cast<std::ptrdiff_t>(from),
                static_cast<std::size_t>(end_column - first_column) * Image::kChannels,
                result.pixels.begin() + static_cast<std::ptrdiff_t>(to));
  }
  return result;
}

}  // namespace easel
