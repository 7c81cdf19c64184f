// The checks that every function of this layer makes on an image.
#pragma once

#include <cstdint>

#include "core/text.h"
#include "easel/error.h"
#include "easel/image.h"

namespace easel {

constexpr int kChannels = Image::kChannels;

/// stb counts bytes in `int` and doubles its buffers; this limit is far from where that would overflow.
constexpr std::int64_t kMaxImageBytes = std::int64_t{1} << 28;

/// @throws Error(kInvalidArgument)  an edge is not positive, or the image is larger than this layer can handle
inline void check_size(std::int64_t width, std::int64_t height) {
  if (width < 1 || height < 1) {
    throw Error(ErrorCode::kInvalidArgument, concat("an image of ", width, " x ", height, " has no pixels"));
  }
  if (width * height * kChannels > kMaxImageBytes) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("an image of ", width, " x ", height, " is too large; at most ", kMaxImageBytes, " bytes"));
  }
}

/// @throws Error(kInvalidArgument)  as check_size(), or the pixels are not width * height * 3 bytes
inline void check_image(const Image& image) {
  check_size(image.width, image.height);
  const auto expected = static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height) * kChannels;
  if (image.pixels.size() != expected) {
    throw Error(ErrorCode::kInvalidArgument, concat("an image of ", image.width, " x ", image.height, " has ",
                                                    image.pixels.size(), " bytes, expected ", expected));
  }
}

}  // namespace easel
