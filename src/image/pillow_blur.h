// Blurring as diffusers blurs masks: with Pillow.
#pragma once

#include "easel/image.h"

namespace easel {

/// Equal to the bit to Pillow's ImageFilter.GaussianBlur(radius) on 8-bit RGB: three box blurs of each axis, whose
/// width need not be whole (Gwosdek et al. 2011, Theoretical Foundations of Gaussian Convolution by Extended Box
/// Filtering). Thread-safe.
/// @param radius  the standard deviation in pixels; 0 changes nothing
/// @throws Error(kInvalidArgument)  as resize(), or the radius is negative
Image pillow_gaussian_blur(const Image& image, int radius);

}  // namespace easel
