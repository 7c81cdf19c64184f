#include "pipelines/families/upscale_canvas.h"

#include <algorithm>

#include "image/pillow_resize.h"

namespace easel {
namespace {

constexpr int kWholeDrawing = 2048, kTileDrawing = 1024;
constexpr int kOverlapShare = 8;

int rounded(int edge, int multiple, int least) {
  return std::max(edge - edge % multiple, least);
}

}  // namespace

UpscaleSizes upscale_sizes(int factor, int multiple, int least, int tile, int cell) {
  const auto edge = rounded(tile > 0 ? tile : kTileDrawing / factor, multiple, least);
  const std::int64_t whole = tile > 0 ? edge : kWholeDrawing / factor;
  return {
      .factor = factor, .multiple = multiple, .least = least, .whole_area = whole * whole, .tile = edge, .cell = cell};
}

Canvas upscale_canvas(const GenerationRequest& request, const UpscaleSizes& sizes) {
  Canvas canvas;
  canvas.drawn_width = sizes.factor * rounded(request.image->width, sizes.multiple, sizes.least);
  canvas.drawn_height = sizes.factor * rounded(request.image->height, sizes.multiple, sizes.least);
  canvas.width = request.width.value_or(canvas.drawn_width);
  canvas.height = request.height.value_or(canvas.drawn_height);
  // Rounding may have squeezed the picture along one edge more than along the other; here it gets its proportions back.
  canvas.stretched = true;
  canvas.resized = canvas.width != canvas.drawn_width || canvas.height != canvas.drawn_height;
  return canvas;
}

Image at_source_size(const Image& image, const Canvas& canvas, const UpscaleSizes& sizes) {
  return pillow_resize(image, canvas.drawn_width / sizes.factor, canvas.drawn_height / sizes.factor,
                       PillowFilter::kBicubic);
}

TileGrid plan_source_tiles(const Image& source, const UpscaleSizes& sizes) {
  const bool whole = std::int64_t{source.width} * source.height <= sizes.whole_area;
  const int edge = whole ? std::max(source.width, source.height) : sizes.tile;
  const int overlap = (sizes.tile / kOverlapShare + sizes.cell - 1) / sizes.cell * sizes.cell;
  return plan_tiles(source.width, source.height, edge, overlap, sizes.cell);
}

}  // namespace easel
