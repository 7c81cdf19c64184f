// Writes PNG files with stb_image_write, which only this file uses.
#include "image/checks.h"

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#include <stb_image_write.h>

namespace easel {
namespace {

void append(void* out, void* bytes, int size) {
  static_cast<std::string*>(out)->append(static_cast<const char*>(bytes), static_cast<std::size_t>(size));
}

}  // namespace

std::string encode_png(const Image& image) {
  check_image(image);
  std::string png;
  if (!stbi_write_png_to_func(append, &png, image.width, image.height, kChannels, image.pixels.data(),
                              image.width * kChannels)) {
    throw Error(ErrorCode::kResourceExhausted,
                concat("out of memory when encoding an image of ", image.width, " x ", image.height));
  }
  return png;
}

}  // namespace easel
