#include "image/files/pixel_rows.h"

#include <utility>

#include "image/checks.h"
#include "image/files/decoders.h"

namespace easel {

void check_decoding(std::int64_t width, std::int64_t height, double bytes_per_pixel, const ImageFileLimits& limits) {
  if (width > limits.max_edge || height > limits.max_edge || width * height > limits.max_pixels) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("the image is ", width, " x ", height, "; at most ", limits.max_edge,
                       " pixels along an edge and ", limits.max_pixels, " pixels in all are accepted"));
  }
  check_size(width, height);
  constexpr double kMebibyte = 1 << 20;
  const double bytes = static_cast<double>(width) * static_cast<double>(height) * bytes_per_pixel;
  if (bytes > static_cast<double>(limits.max_memory)) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("decoding this image of ", width, " x ", height, " would take ",
                       static_cast<std::int64_t>(bytes / kMebibyte) + 1, " MiB of memory; at most ",
                       static_cast<std::int64_t>(static_cast<double>(limits.max_memory) / kMebibyte),
                       " MiB may be used for one image"));
  }
}

PixelRows::PixelRows(int width, int height, bool alpha, int orientation) : width_(width), height_(height) {
  // Orientations from 5 on swap rows and columns; then each axis may be reversed.
  const bool transposed = orientation >= 5;
  const bool mirror_x = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
  const bool mirror_y = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
  const std::ptrdiff_t new_width = transposed ? height : width, new_height = transposed ? width : height;
  const std::ptrdiff_t right = mirror_x ? -1 : 1, down = mirror_y ? -new_width : new_width;
  x_step_ = transposed ? down : right;
  y_step_ = transposed ? right : down;
  first_ = (mirror_x ? new_width - 1 : 0) + (mirror_y ? (new_height - 1) * new_width : 0);
  const auto count = static_cast<std::size_t>(new_width * new_height);
  result_.image = {.width = static_cast<int>(new_width), .height = static_cast<int>(new_height), .pixels = {}};
  result_.image.pixels.resize(count * kChannels);
  if (alpha) result_.alpha.resize(count);
}

void PixelRows::put(int y, const std::uint8_t* pixels) noexcept {
  auto* const rgb = result_.image.pixels.data();
  auto at = first_ + y * y_step_;
  for (int x = 0; x < width_; ++x, at += x_step_) {
    for (int c = 0; c < kChannels; ++c) rgb[at * kChannels + c] = *pixels++;
    if (!result_.alpha.empty()) result_.alpha[static_cast<std::size_t>(at)] = *pixels++;
  }
}

DecodedImage PixelRows::take() {
  result_.original_size = {result_.image.width, result_.image.height};
  return std::move(result_);
}

DecodedImage upright(DecodedImage decoded, int orientation) {
  if (orientation == 1) return decoded;
  const auto& [image, alpha, original_size] = decoded;
  PixelRows rows(image.width, image.height, !alpha.empty(), orientation);
  std::vector<std::uint8_t> row;
  for (int y = 0; y < image.height; ++y) {
    row.clear();
    for (int x = 0; x < image.width; ++x) {
      const auto pixel = static_cast<std::size_t>(y) * static_cast<std::size_t>(image.width) + x;
      row.insert(row.end(), &image.pixels[pixel * kChannels], &image.pixels[pixel * kChannels] + kChannels);
      if (!alpha.empty()) row.push_back(alpha[pixel]);
    }
    rows.put(y, row.data());
  }
  return rows.take();
}

}  // namespace easel
