// The noise of a drawing in tiles.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>

#include "easel/noise.h"
#include "image/tiles.h"

namespace easel {

/// A tile of [..., height, width]; a grid of one tile gives the whole.
at::Tensor cut_tile(const at::Tensor& whole, const TileGrid& grid, std::size_t index);

/// What a tile's steps draw from: the noise of the whole, cut, so that neighbours have the same where they overlap.
/// @param cells  the grid in latent cells
NoiseSource noise_of_tile(const NoiseSource& noise, const TileGrid& cells, std::size_t index);

}  // namespace easel
