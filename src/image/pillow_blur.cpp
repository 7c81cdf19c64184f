#include "image/pillow_blur.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "image/checks.h"

namespace easel {
namespace {

constexpr int kBlurPasses = 3;
constexpr int kWeightBits = 24;

/// Half the width of a box blur of which three passes have the standard deviation `radius`. In float, as in Pillow.
float box_radius(float radius) {
  const float sigma2 = radius * radius / static_cast<float>(kBlurPasses);
  const float length = static_cast<float>(std::sqrt(12.0 * static_cast<double>(sigma2) + 1.0));
  const float whole = static_cast<float>(std::floor((static_cast<double>(length) - 1.0) / 2.0));
  float part = (2 * whole + 1) * (whole * (whole + 1) - 3 * sigma2);
  part /= 6 * (sigma2 - (whole + 1) * (whole + 1));
  return whole + part;
}

/// One pass over `count` values that stand `step` apart. Beyond the ends, the first and the last value continue.
void box_blur(const std::uint8_t* in, std::uint8_t* out, int count, std::ptrdiff_t step, float radius) {
  const int whole = static_cast<int>(radius);
  const auto weight = static_cast<std::uint32_t>(static_cast<float>(1 << kWeightBits) / (radius * 2 + 1));
  const auto edge_weight = ((1u << kWeightBits) - static_cast<std::uint32_t>(whole * 2 + 1) * weight) / 2;
  const auto value = [&](int i) { return std::uint32_t{in[std::clamp(i, 0, count - 1) * step]}; };
  std::uint32_t sum = 0;
  for (int i = -whole - 1; i < whole; ++i) sum += value(i);
  for (int i = 0; i < count; ++i) {
    sum += value(i + whole) - value(i - whole - 1);
    const auto edges = value(i - whole - 1) + value(i + whole + 1);
    out[i * step] =
        static_cast<std::uint8_t>((sum * weight + edges * edge_weight + (1u << (kWeightBits - 1))) >> kWeightBits);
  }
}

}  // namespace

Image pillow_gaussian_blur(const Image& image, int radius) {
  check_image(image);
  if (radius < 0) throw Error(ErrorCode::kInvalidArgument, concat("a radius of ", radius, " is negative"));
  if (radius == 0) return image;
  const float box = box_radius(static_cast<float>(radius));
  auto blurred = image, source = image;
  const std::ptrdiff_t row = std::ptrdiff_t{image.width} * kChannels;
  for (const bool columns : {false, true}) {
    const int lines = columns ? image.width : image.height, count = columns ? image.height : image.width;
    for (int pass = 0; pass < kBlurPasses; ++pass) {
      std::swap(blurred.pixels, source.pixels);
      for (int line = 0; line < lines; ++line) {
        const auto start = columns ? std::ptrdiff_t{line} * kChannels : line * row;
        for (int c = 0; c < kChannels; ++c)
          box_blur(&source.pixels[static_cast<std::size_t>(start + c)],
                   &blurred.pixels[static_cast<std::size_t>(start + c)], count, columns ? row : kChannels, box);
      }
    }
  }
  return blurred;
}

}  // namespace easel
