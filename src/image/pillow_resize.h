// Resampling as diffusers resamples input images: with Pillow.
#pragma once

#include "easel/image.h"

namespace easel {

enum class PillowFilter {
  kBicubic,  ///< Keys's cubic with a = -0.5, 2 pixels to each side
  kLanczos,  ///< 3 lobes
  kNearest,  ///< the pixel at the same place
};

/// Equal to the bit to Pillow's Image.resize on 8-bit RGB: when an axis is reduced, the filter is widened by the same
/// factor (except for the nearest pixel); the axes are resampled one after the other, each with fixed-point weights and
/// rounding to 8 bits. Thread-safe.
/// @throws Error(kInvalidArgument)  pixels.size() is not width * height * 3, or a size is not one that resize() accepts
Image pillow_resize(const Image& image, int width, int height, PillowFilter filter);

enum class ImageEdge { kLeft, kTop, kRight, kBottom };

/// The margin with which diffusers continues an image beyond an edge: `extent` equal columns or rows. They are what
/// Pillow's Image.resize makes, to the bit, of a box without extent at that edge: bicubic, so they overshoot the
/// outermost pixels slightly. Thread-safe.
/// @throws Error(kInvalidArgument)  as pillow_resize()
Image pillow_continue_edge(const Image& image, ImageEdge edge, int extent);

}  // namespace easel
