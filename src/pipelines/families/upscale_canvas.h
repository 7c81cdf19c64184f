// Which size an upscaler draws, and where it does so in tiles.
#pragma once

#include "easel/generation.h"
#include "easel/image.h"
#include "image/tiles.h"
#include "pipelines/images/canvas.h"

namespace easel {

/// Sizes of one upscaler, in pixels of the image that it is given.
struct UpscaleSizes {
  int factor;    ///< pixels drawn for each of the image's, along an edge
  int multiple;  ///< the image's edges are rounded down to it
  int min_edge;  ///< and up to this; itself a multiple
  /// The largest image that is drawn whole, by its area; beyond, tiles of `tile` along an edge share an eighth of it.
  std::int64_t max_untiled_area;
  int tile;  ///< a multiple, from `min_edge` up
  int cell;  ///< of the autoencoder, where the image goes through it; else 1
};

/// Drawings of up to 2048 x 2048 pixels are drawn whole, larger ones in tiles of 1024.
/// @param multiple  of `cell`
/// @param tile  instead: the edge of tiles, and of the largest square that is drawn whole, in the image's pixels,
///              rounded to what the model can draw; 0 for none
UpscaleSizes upscale_sizes(int factor, int multiple, int min_edge, int tile, int cell = 1);

/// Without a size in the request the drawing is the answer.
Canvas upscale_canvas(const GenerationRequest& request, const UpscaleSizes& sizes);

/// The image at the size that the canvas was planned for, resampled as the reference does it (bicubic).
Image resize_to_source(const Image& image, const Canvas& canvas, const UpscaleSizes& sizes);

/// One tile, or several, each of which begins with a cell of the autoencoder.
TileGrid plan_source_tiles(const Image& source, const UpscaleSizes& sizes);

}  // namespace easel
