// From the size that was asked for to the size that is drawn, and back.
#pragma once

#include "easel/generation.h"
#include "easel/image.h"

namespace easel {

/// An image's two sizes, in pixels.
struct Canvas {
  int width = 0;  ///< of the answer
  int height = 0;
  int generated_width = 0;  ///< multiples of the latent cell
  int generated_height = 0;
  bool resized = false;    ///< the drawing is resampled to the answer's size, not only cropped
  bool stretched = false;  ///< and fills it, whatever its proportions: they were changed before, by rounding its size
};

/// A model that draws at any scale gets the answer's size, rounded up to whole cells. One that knows only its native
/// size draws at that.
/// @param width, height  of the answer, positive
Canvas plan_canvas(const ModelDescription& model, int width, int height);

/// The answer: the middle of the drawing; or, where it is resized, the whole drawing as large as fits, and where the
/// answer has other proportions its outermost pixels carried on to the edges, unless it is stretched. An exact fit is
/// returned as it is.
Image to_output(Image drawing, const Canvas& canvas);

}  // namespace easel
