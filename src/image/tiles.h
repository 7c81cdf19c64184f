// Cuts an image into overlapping tiles and blends tiles into one image.
#pragma once

#include <cstddef>
#include <vector>

#include "easel/image.h"

namespace easel {

/// The positions of an image's tiles, which all have one size, row by row. Lengths are pixels.
struct TileGrid {
  int width = 0, height = 0;            ///< of the image
  int tile_width = 0, tile_height = 0;  ///< at most the image's
  std::vector<int> lefts, tops;         ///< ascending; the first is 0, and the last tile ends at the image's edge

  std::size_t count() const { return lefts.size() * tops.size(); }
  /// The same grid for an image that is `factor` / `divisor` times as large.
  TileGrid scaled(int factor, int divisor = 1) const;
};

/// The fewest evenly spaced tiles that cover the image with neighbours that share at least `overlap` pixels.
/// @param edge       of a tile; greater than overlap. An axis that is not longer than it has one tile
/// @param alignment  tiles begin at multiples of it; the other arguments must be multiples of it, too
TileGrid plan_tiles(int width, int height, int edge, int overlap, int alignment = 1);

/// @param index  of the tile, row by row
/// @throws Error(kInvalidArgument)  the image does not have the size of the grid
Image cut_tile(const Image& image, const TileGrid& grid, std::size_t index);

/// The weight of each tile of an axis at its pixels: [tile][pixel]. Weights rise and fall linearly where tiles overlap,
/// and add up to 1 at every pixel of the image.
/// @param starts  first pixel of each tile, as in TileGrid
std::vector<std::vector<double>> tile_weights(const std::vector<int>& starts, int tile, int extent);

/// The weighted mean of the tiles at every pixel, rounded.
/// @param tiles  row by row
/// @throws Error(kInvalidArgument)  the number or the size of the tiles does not match the grid
Image blend_tiles(const std::vector<Image>& tiles, const TileGrid& grid);

}  // namespace easel
