#include "pipelines/families/upscale_noise.h"

namespace easel {
namespace {

NoiseWindow window_of(const TileGrid& cells, std::size_t index) {
  return {.full_height = cells.height,
          .full_width = cells.width,
          .top = cells.tops.at(index / cells.lefts.size()),
          .left = cells.lefts.at(index % cells.lefts.size())};
}

}  // namespace

at::Tensor cut_tile(const at::Tensor& whole, const TileGrid& grid, std::size_t index) {
  const auto window = window_of(grid, index);
  return whole.narrow(-2, window.top, grid.tile_height).narrow(-1, window.left, grid.tile_width).contiguous();
}

NoiseSource noise_of_tile(const NoiseSource& noise, const TileGrid& cells, std::size_t index) {
  return cells.count() == 1 ? noise : noise.through(window_of(cells, index));
}

}  // namespace easel
