// Resamples with stb_image_resize, which only this file uses, and crops.

#include "image/checks.h"

#define STB_IMAGE_RESIZE_IMPLEMENTATION
#define STB_IMAGE_RESIZE_STATIC
#include <stb_image_resize.h>

namespace easel {
namespace {

// Each axis has its own filter: Catmull-Rom, which interpolates the pixels, where it is enlarged; a box, which weights
// pixels by their area, where it is reduced.
stbir_filter filter_for(int from, int to) {
  return to > from ? STBIR_FILTER_CATMULLROM : STBIR_FILTER_BOX;
}

}  // namespace

Image resize(const Image& image, int width, int height) {
  check_image(image);
  check_size(width, height);
  if (width == image.width && height == image.height) return image;
  Image resized{width, height, {}};
  resized.pixels.resize(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * kChannels);
  // Averages the stored values without undoing sRGB's gamma, as the common tools do.
  const int done =
      stbir_resize(image.pixels.data(), image.width, image.height, 0, resized.pixels.data(), width, height, 0,
                   STBIR_TYPE_UINT8, kChannels, STBIR_ALPHA_CHANNEL_NONE, 0, STBIR_EDGE_CLAMP, STBIR_EDGE_CLAMP,
                   filter_for(image.width, width), filter_for(image.height, height), STBIR_COLORSPACE_LINEAR, nullptr);
  if (!done) {
    throw Error(ErrorCode::kResourceExhausted, concat("out of memory when resizing an image of ", image.width, " x ",
                                                      image.height, " to ", width, " x ", height));
  }
  return resized;
}

Image crop_center(const Image& image, int width, int height) {
  check_image(image);
  check_size(width, height);
  if (width > image.width || height > image.height) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("cannot crop ", width, " x ", height, " from an image of ", image.width, " x ", image.height));
  }
  const int left = (image.width - width) / 2;
  const int top = (image.height - height) / 2;
  Image cropped{width, height, {}};
  cropped.pixels.reserve(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * kChannels);
  for (int y = 0; y < height; ++y) {
    const auto row = image.pixels.begin() + (static_cast<std::ptrdiff_t>(top + y) * image.width + left) * kChannels;
    cropped.pixels.insert(cropped.pixels.end(), row, row + static_cast<std::ptrdiff_t>(width) * kChannels);
  }
  return cropped;
}

}  // namespace easel
