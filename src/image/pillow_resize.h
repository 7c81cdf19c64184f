// Resampling as the reference resamples its input images.
#pragma once

#include "easel/image.h"

namespace easel {

enum class PillowFilter {
  kBicubic,  ///< Keys with a = -0.5, 2 pixels to either side
  kLanczos,  ///< 3 lobes
};

/// Pillow's Image.resize on 8-bit RGB, to the bit: when an axis is reduced, the filter is widened by as much; first
/// one axis, then the other, each with weights in fixed point and its result rounded to 8 bits. Thread-safe.
/// @throws Error(kInvalidArgument)  pixels.size() is not width * height * 3, or either size is beyond easel::resize's
Image pillow_resize(const Image& image, int width, int height, PillowFilter filter);

}  // namespace easel
