// An image in overlapping tiles, and one image of them again.
#pragma once

#include <cstddef>
#include <vector>

#include "easel/image.h"

namespace easel {

/// Where the tiles of an image lie: all of one size, row by row.
struct TileGrid {
  int width = 0, height = 0;            ///< of the image
  int tile_width = 0, tile_height = 0;  ///< at most the image's
  std::vector<int> lefts, tops;         ///< rising; the first is 0, the last tile ends with the image

  std::size_t count() const { return lefts.size() * tops.size(); }
  /// The same of an image that is `factor` / `divisor` times as large.
  TileGrid scaled(int factor, int divisor = 1) const;
};

/// As few tiles as cover the image when neighbours share at least `overlap` pixels, evenly spread.
/// @param edge  of a tile, more than overlap; an axis that is no longer than it has one tile
/// @param alignment  tiles begin at multiples of it; all of the others are multiples of it too
TileGrid plan_tiles(int width, int height, int edge, int overlap, int alignment = 1);

/// @param index  row by row. @throws Error(kInvalidArgument)  the image is not the grid's
Image cut_tile(const Image& image, const TileGrid& grid, std::size_t index);

/// How much each tile of an axis counts at its pixels: [tile][pixel]. Rises and falls in a line where tiles overlap; at
/// every pixel of the image the tiles' weights add up to 1.
/// @param starts  of the tiles, as in TileGrid
std::vector<std::vector<double>> tile_weights(const std::vector<int>& starts, int tile, int extent);

/// The weighted mean of the tiles at every pixel, rounded. @param tiles  row by row
/// @throws Error(kInvalidArgument)  there are not as many, or not of this size
Image blend_tiles(const std::vector<Image>& tiles, const TileGrid& grid);

}  // namespace easel
