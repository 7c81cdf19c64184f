// The sizes that an upscaler generates, and how it splits large images into tiles.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>

#include "easel/generation.h"
#include "easel/image.h"
#include "easel/noise.h"
#include "image/tiles.h"
#include "pipelines/images/canvas.h"

namespace easel {

/// Sizes of one upscaler, in pixels of the image that it is given.
struct UpscaleSizes {
  int factor;    ///< generated pixels per pixel of the image, along an edge
  int multiple;  ///< the image's edges are rounded down to a multiple of it
  int min_edge;  ///< but at least to this, which is a multiple itself
  /// The largest area of an image that is upscaled as a whole. Larger ones are split into tiles whose edge is `tile`
  /// and which overlap by an eighth of it.
  std::int64_t max_untiled_area;
  int tile;  ///< a multiple, at least `min_edge`
  int cell;  ///< pixels per latent cell where the image goes through the autoencoder; otherwise 1
};

/// By default, outputs of up to 2048 x 2048 pixels are generated as a whole, and larger ones in tiles of 1024.
/// @param multiple  a multiple of `cell`
/// @param tile      edge of the tiles, and of the largest square that is not tiled, in pixels of the image; rounded to
/// a
///                  size that the model can generate. 0: the default
UpscaleSizes upscale_sizes(int factor, int multiple, int min_edge, int tile, int cell = 1);

/// The output has the generated size unless the request names one.
Canvas upscale_canvas(const GenerationRequest& request, const UpscaleSizes& sizes);

/// Resamples the image to the size that the canvas was planned for, with the reference's filter (bicubic).
Image resize_to_source(const Image& image, const Canvas& canvas, const UpscaleSizes& sizes);

/// One or more tiles, which begin at whole cells of the autoencoder.
TileGrid plan_source_tiles(const Image& source, const UpscaleSizes& sizes);

/// One tile of [..., height, width]; the whole tensor if the grid has one tile.
at::Tensor cut_tile(const at::Tensor& whole, const TileGrid& grid, std::size_t index);

/// The noise source for a tile's steps: draws noise for the whole image and returns the tile's part, so that
/// neighbouring tiles agree where they overlap.
/// @param cells  the grid in latent cells
NoiseSource noise_of_tile(const NoiseSource& noise, const TileGrid& cells, std::size_t index);

}  // namespace easel
