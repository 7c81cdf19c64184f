#include "pipelines/images/canvas.h"

#include <algorithm>
#include <cmath>
#include <tuple>

namespace easel {
namespace {

int round_up(int value, int multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

/// Centres the image in a larger one, whose other pixels repeat the nearest pixel of the image.
Image extend_edges(const Image& image, int width, int height) {
  Image extended{.width = width, .height = height, .pixels = {}};
  extended.pixels.reserve(static_cast<std::size_t>(width) * height * 3);
  const int left = (width - image.width) / 2, top = (height - image.height) / 2;
  for (int y = 0; y < height; ++y) {
    const auto row = static_cast<std::size_t>(std::clamp(y - top, 0, image.height - 1)) * image.width;
    for (int x = 0; x < width; ++x) {
      const auto* pixel = &image.pixels[(row + std::clamp(x - left, 0, image.width - 1)) * 3];
      extended.pixels.insert(extended.pixels.end(), pixel, pixel + 3);
    }
  }
  return extended;
}

}  // namespace

Canvas plan_canvas(const ModelDescription& model, int width, int height) {
  std::tie(width, height) = model.output_size(width, height);
  const bool resized = model.native_size_only && (width != model.native_width || height != model.native_height);
  return {.width = width,
          .height = height,
          .generated_width = round_up(resized ? model.native_width : width, model.cell),
          .generated_height = round_up(resized ? model.native_height : height, model.cell),
          .resized = resized};
}

Image to_output(Image generated, const Canvas& canvas) {
  if (!canvas.resized) {
    if (generated.width == canvas.width && generated.height == canvas.height) return generated;
    return crop_center(generated, canvas.width, canvas.height);
  }
  if (canvas.stretched) return resize(generated, canvas.width, canvas.height);
  const double scale = std::min(static_cast<double>(canvas.width) / generated.width,
                                static_cast<double>(canvas.height) / generated.height);
  const int width = std::clamp(static_cast<int>(std::lround(generated.width * scale)), 1, canvas.width);
  const int height = std::clamp(static_cast<int>(std::lround(generated.height * scale)), 1, canvas.height);
  auto resized = resize(generated, width, height);
  if (width == canvas.width && height == canvas.height) return resized;
  return extend_edges(resized, canvas.width, canvas.height);
}

}  // namespace easel
