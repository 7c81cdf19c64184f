// The output size of an image, and the size that the model generates for it.
#pragma once

#include "easel/generation.h"
#include "easel/image.h"

namespace easel {

/// The two sizes of an image, in pixels.
struct Canvas {
  int width = 0;  ///< of the output
  int height = 0;
  int generated_width = 0;  ///< multiples of the latent cell
  int generated_height = 0;
  bool resized = false;    ///< the generated image is resampled to the output size, not only cropped
  bool stretched = false;  ///< and fills it whatever its proportions, which rounding changed before
  bool covered = false;    ///< decoded values are scaled to cover the output and cropped before they are rounded
};

/// A model that generates at any size gets ModelDescription::output_size, rounded up to whole cells. A model with
/// native_size_only gets its native size.
/// @param width, height  that the request asks for, positive
Canvas plan_canvas(const ModelDescription& model, int width, int height);

/// Makes the output of a generated image. Without `resized`, crops its centre. With it, scales the image to fit, and
/// fills what is left at the edges by repeating its outermost pixels, or stretches it if `stretched`. An image that
/// already has the output size is returned unchanged.
Image to_output(Image generated, const Canvas& canvas);

}  // namespace easel
