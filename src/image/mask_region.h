// Redrawing the part of an image that a mask selects, with the arithmetic of diffusers' VaeImageProcessor: the part is
// cut out, and what was drawn is put back.
#pragma once

#include "easel/image.h"

namespace easel {

/// A part of an image, in pixels; `right` and `bottom` are one past the last.
struct PixelBox {
  int left = 0;
  int top = 0;
  int right = 0;
  int bottom = 0;

  int width() const { return right - left; }
  int height() const { return bottom - top; }
  bool operator==(const PixelBox&) const = default;
};

// All functions are thread-safe and equal Pillow and diffusers to the bit.

/// The part of a mask's image that is redrawn: all pixels whose mask is not black, `padding` pixels around them, and as
/// much of the shorter axis as gives it the shape of width x height where the image is large enough
/// (get_crop_region).
/// @param width, height  at which the part will be drawn
/// @throws Error(kInvalidArgument)  the whole mask is black, or `padding` is negative; names `mask` or
///                                  `padding_mask_crop`
PixelBox mask_region(const Image& mask, int width, int height, int padding);

/// The pixels of a box that lies within the image.
Image crop(const Image& image, const PixelBox& box);

/// Resamples (Lanczos) to the largest size that fits into width x height, keeps the shape, and continues the image at
/// the edges that are left over (resize_mode "fill").
Image resize_and_fill(const Image& image, int width, int height);

/// Puts what was drawn for a box at its place in an image of width x height pixels, which is black elsewhere. It is
/// resampled to cover the box, and what protrudes is cut off (resize_mode "crop").
Image place_in_box(const Image& drawn, const PixelBox& box, int width, int height);

/// `original` where the mask is black, `drawn` where it is white, and a linear mixture between (apply_overlay).
/// @throws Error(kInvalidArgument)  the three images do not have the same size
Image overlay_kept_pixels(const Image& original, const Image& mask, const Image& drawn);

}  // namespace easel
