#include "pipelines/starts/upscale_tiles.h"

#include <algorithm>

#include "image/pillow_resize.h"

namespace easel {
namespace {

constexpr int kMaxUntiledEdge = 2048, kTileEdge = 1024;
constexpr int kOverlapDivisor = 8;

int rounded(int edge, int multiple, int min_edge) {
  return std::max(edge - edge % multiple, min_edge);
}

NoiseWindow window_of(const TileGrid& cells, std::size_t index) {
  return {.full_height = cells.height,
          .full_width = cells.width,
          .top = cells.tops.at(index / cells.lefts.size()),
          .left = cells.lefts.at(index % cells.lefts.size())};
}

}  // namespace

UpscaleSizes upscale_sizes(int factor, int multiple, int min_edge, int tile, int cell) {
  const auto edge = rounded(tile > 0 ? tile : kTileEdge / factor, multiple, min_edge);
  const std::int64_t whole = tile > 0 ? edge : kMaxUntiledEdge / factor;
  return {.factor = factor,
          .multiple = multiple,
          .min_edge = min_edge,
          .max_untiled_area = whole * whole,
          .tile = edge,
          .cell = cell};
}

Canvas upscale_canvas(const GenerationRequest& request, const UpscaleSizes& sizes) {
  Canvas canvas;
  canvas.generated_width = sizes.factor * rounded(request.image->width, sizes.multiple, sizes.min_edge);
  canvas.generated_height = sizes.factor * rounded(request.image->height, sizes.multiple, sizes.min_edge);
  canvas.width = request.width.value_or(canvas.generated_width);
  canvas.height = request.height.value_or(canvas.generated_height);
  // Rounding may have changed the image's proportions; stretching the output restores them.
  canvas.stretched = true;
  canvas.resized = canvas.width != canvas.generated_width || canvas.height != canvas.generated_height;
  return canvas;
}

Image resize_to_source(const Image& image, const Canvas& canvas, const UpscaleSizes& sizes) {
  return pillow_resize(image, canvas.generated_width / sizes.factor, canvas.generated_height / sizes.factor,
                       PillowFilter::kBicubic);
}

TileGrid plan_source_tiles(const Image& source, const UpscaleSizes& sizes) {
  const bool whole = std::int64_t{source.width} * source.height <= sizes.max_untiled_area;
  const int edge = whole ? std::max(source.width, source.height) : sizes.tile;
  const int overlap = (sizes.tile / kOverlapDivisor + sizes.cell - 1) / sizes.cell * sizes.cell;
  return plan_tiles(source.width, source.height, edge, overlap, sizes.cell);
}

at::Tensor cut_tile(const at::Tensor& whole, const TileGrid& grid, std::size_t index) {
  const auto window = window_of(grid, index);
  return whole.narrow(-2, window.top, grid.tile_height).narrow(-1, window.left, grid.tile_width).contiguous();
}

NoiseSource noise_of_tile(const NoiseSource& noise, const TileGrid& cells, std::size_t index) {
  return cells.count() == 1 ? noise : noise.through(window_of(cells, index));
}

}  // namespace easel
