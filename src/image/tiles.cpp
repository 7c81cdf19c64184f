#include "image/tiles.h"

#include <algorithm>
#include <cmath>

#include "image/checks.h"

namespace easel {
namespace {

std::vector<int> plan_axis(int extent, int edge, int overlap) {
  if (extent <= edge) return {0};
  const int stride = edge - overlap, count = (extent - overlap + stride - 1) / stride;
  std::vector<int> starts;
  for (std::int64_t i = 0; i < count; ++i) starts.push_back(static_cast<int>(i * (extent - edge) / (count - 1)));
  return starts;
}

void check_tile(const Image& image, int width, int height) {
  check_image(image);
  if (image.width == width && image.height == height) return;
  throw Error(ErrorCode::kInvalidArgument, concat("a tile or the whole image is ", image.width, " x ", image.height,
                                                  ", expected ", width, " x ", height));
}

/// Accumulates one row of the image before it is rounded.
class RowAccumulator {
 public:
  explicit RowAccumulator(int width) : sums_(static_cast<std::size_t>(width) * kChannels) {}
  void add(const std::uint8_t* row, int left, const std::vector<double>& columns, double weight) {
    auto* sum = &sums_[static_cast<std::size_t>(left) * kChannels];
    for (const double column : columns) {
      for (int c = 0; c < kChannels; ++c) *sum++ += weight * column * *row++;
    }
  }
  void append_to(std::vector<std::uint8_t>& pixels) const {
    for (const double sum : sums_)
      pixels.push_back(static_cast<std::uint8_t>(std::lround(std::clamp(sum, 0.0, 255.0))));
  }

 private:
  std::vector<double> sums_;
};

}  // namespace

TileGrid TileGrid::scaled(int factor, int divisor) const {
  auto grid = *this;
  const auto scale = [&](int& value) { value = value * factor / divisor; };
  for (int* size : {&grid.width, &grid.height, &grid.tile_width, &grid.tile_height}) scale(*size);
  for (auto* starts : {&grid.lefts, &grid.tops}) std::for_each(starts->begin(), starts->end(), scale);
  return grid;
}

TileGrid plan_tiles(int width, int height, int edge, int overlap, int alignment) {
  const TileGrid aligned_grid{.width = width / alignment,
                              .height = height / alignment,
                              .tile_width = std::min(width, edge) / alignment,
                              .tile_height = std::min(height, edge) / alignment,
                              .lefts = plan_axis(width / alignment, edge / alignment, overlap / alignment),
                              .tops = plan_axis(height / alignment, edge / alignment, overlap / alignment)};
  return aligned_grid.scaled(alignment);
}

Image cut_tile(const Image& image, const TileGrid& grid, std::size_t index) {
  check_tile(image, grid.width, grid.height);
  const int left = grid.lefts.at(index % grid.lefts.size()), top = grid.tops.at(index / grid.lefts.size());
  Image tile{.width = grid.tile_width, .height = grid.tile_height, .pixels = {}};
  for (int y = 0; y < tile.height; ++y) {
    const auto row = image.pixels.begin() + (static_cast<std::ptrdiff_t>(top + y) * image.width + left) * kChannels;
    tile.pixels.insert(tile.pixels.end(), row, row + static_cast<std::ptrdiff_t>(tile.width) * kChannels);
  }
  return tile;
}

std::vector<std::vector<double>> tile_weights(const std::vector<int>& starts, int tile, int extent) {
  std::vector<std::vector<double>> weights;
  std::vector<double> sums(static_cast<std::size_t>(extent));
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const int start = starts[i], shared_before = i == 0 ? 0 : starts[i - 1] + tile - start;
    const int shared_behind = i + 1 == starts.size() ? 0 : start + tile - starts[i + 1];
    weights.emplace_back();
    for (int x = 0; x < tile; ++x) {
      const double rise = shared_before > 0 ? (x + 0.5) / shared_before : 1;
      const double fall = shared_behind > 0 ? (tile - x - 0.5) / shared_behind : 1;
      weights.back().push_back(std::min({rise, fall, 1.0}));
      sums[static_cast<std::size_t>(start) + static_cast<std::size_t>(x)] += weights.back().back();
    }
  }
  for (std::size_t i = 0; i < starts.size(); ++i) {
    for (int x = 0; x < tile; ++x)
      weights[i][static_cast<std::size_t>(x)] /=
          sums[static_cast<std::size_t>(starts[i]) + static_cast<std::size_t>(x)];
  }
  return weights;
}

Image blend_tiles(const std::vector<Image>& tiles, const TileGrid& grid) {
  if (tiles.size() != grid.count()) {
    throw Error(ErrorCode::kInvalidArgument, concat(tiles.size(), " tiles given, expected ", grid.count()));
  }
  for (const auto& tile : tiles) check_tile(tile, grid.tile_width, grid.tile_height);
  check_size(grid.width, grid.height);
  const auto columns = tile_weights(grid.lefts, grid.tile_width, grid.width);
  const auto rows = tile_weights(grid.tops, grid.tile_height, grid.height);
  Image whole{.width = grid.width, .height = grid.height, .pixels = {}};
  whole.pixels.reserve(static_cast<std::size_t>(grid.width) * grid.height * kChannels);
  for (int y = 0; y < grid.height; ++y) {
    RowAccumulator sum(grid.width);
    for (std::size_t r = 0; r < grid.tops.size(); ++r) {
      const int within = y - grid.tops[r];
      if (within < 0 || within >= grid.tile_height) continue;
      for (std::size_t c = 0; c < grid.lefts.size(); ++c) {
        const auto& tile = tiles[r * grid.lefts.size() + c];
        const auto first = static_cast<std::size_t>(within) * static_cast<std::size_t>(tile.width) * kChannels;
        sum.add(&tile.pixels[first], grid.lefts[c], columns[c], rows[r][static_cast<std::size_t>(within)]);
      }
    }
    sum.append_to(whole.pixels);
  }
  return whole;
}

}  // namespace easel
