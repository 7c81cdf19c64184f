// The size and crop of images that a model sees whole, at their own size, instead of resampled to that of the result.
#pragma once

#include <cstdint>
#include <utility>

#include "easel/image.h"

namespace easel {

/// The size at which an image of at most `area` pixels keeps its proportions: its own if it is small enough, else both
/// edges times sqrt(area / (width * height)), rounded down.
/// @return  width, height
std::pair<int, int> size_within_area(int width, int height, std::int64_t area);

/// The image at that size, resampled with the reference's filter (Lanczos).
/// @throws Error(kInvalidArgument)  as pillow_resize
Image within_area(const Image& image, std::int64_t area);

/// The middle width x height pixels. Where the image is smaller, black pixels surround it. A margin of an odd number of
/// pixels is larger at the right and at the bottom if it is cut off, and at the left and at the top if it is added, as
/// in the reference.
Image crop_or_extend(const Image& image, int width, int height);

}  // namespace easel
