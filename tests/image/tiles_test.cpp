#include "image/tiles.h"

#include <gtest/gtest.h>

#include <cstdint>

#include "easel/error.h"

namespace easel {
namespace {

Image random_image(int width, int height, std::uint32_t seed = 1) {
  Image image{.width = width, .height = height, .pixels = {}};
  for (int i = 0; i < width * height * 3; ++i) {
    seed = seed * 1664525u + 1013904223u;
    image.pixels.push_back(static_cast<std::uint8_t>(seed >> 24));
  }
  return image;
}

TEST(Tiles, CoverTheImageWithEnoughOverlap) {
  for (int extent = 1; extent < 200; ++extent) {
    for (const auto& [edge, overlap] : {std::pair{16, 4}, {16, 12}, {64, 8}, {33, 1}}) {
      const auto grid = plan_tiles(extent, 5, edge, overlap);
      const auto& starts = grid.lefts;
      EXPECT_EQ(starts.front(), 0);
      EXPECT_EQ(starts.back() + grid.tile_width, extent);
      EXPECT_EQ(grid.tops, std::vector<int>{0});
      for (std::size_t i = 1; i < starts.size(); ++i) {
        EXPECT_GT(starts[i], starts[i - 1]);
        EXPECT_GE(starts[i - 1] + edge - starts[i], overlap);
      }
      EXPECT_EQ(starts.size(), extent <= edge ? 1u : 1u + (extent - edge + edge - overlap - 1) / (edge - overlap));
    }
  }
}

TEST(Tiles, WeightsAddUpToOneAtEveryPixel) {
  for (int extent = 1; extent < 200; ++extent) {
    for (const auto& [edge, overlap] : {std::pair{16, 4}, {16, 12}, {64, 8}, {33, 1}}) {
      const auto grid = plan_tiles(extent, 1, edge, overlap);
      const auto weights = tile_weights(grid.lefts, grid.tile_width, extent);
      std::vector<double> sums(static_cast<std::size_t>(extent));
      for (std::size_t i = 0; i < weights.size(); ++i) {
        for (int x = 0; x < grid.tile_width; ++x) {
          const auto weight = weights[i][static_cast<std::size_t>(x)];
          EXPECT_GT(weight, 0);
          sums[static_cast<std::size_t>(grid.lefts[i] + x)] += weight;
        }
      }
      for (const double sum : sums) EXPECT_NEAR(sum, 1, 1e-12);
    }
  }
}

TEST(Tiles, BlendingCroppedTilesRestoresTheImage) {
  for (const auto& [width, height] : {std::pair{50, 40}, {16, 16}, {17, 90}, {5, 6}}) {
    const auto whole = random_image(width, height);
    const auto grid = plan_tiles(width, height, 16, 6);
    std::vector<Image> tiles;
    for (std::size_t i = 0; i < grid.count(); ++i) tiles.push_back(cut_tile(whole, grid, i));
    EXPECT_TRUE(blend_tiles(tiles, grid).pixels == whole.pixels) << width << " x " << height;
  }
}

TEST(Tiles, OverlapsAreBlendedLinearly) {
  const auto grid = plan_tiles(24, 1, 16, 8);  // 0 to 15 and 8 to 23
  Image dark = random_image(16, 1), bright = dark;
  for (auto& value : dark.pixels) value = 0;
  for (auto& value : bright.pixels) value = 160;
  const auto blended = blend_tiles({dark, bright}, grid);
  for (int x = 0; x < 24; ++x) {
    const int expected = x < 8 ? 0 : x >= 16 ? 160 : 10 + 20 * (x - 8);
    EXPECT_EQ(blended.pixels[static_cast<std::size_t>(x) * 3], expected) << x;
  }
}

TEST(Tiles, GridScalesWithItsImage) {
  const auto grid = plan_tiles(50, 40, 16, 6).scaled(4);
  EXPECT_EQ(grid.width, 200);
  EXPECT_EQ(grid.tile_height, 64);
  EXPECT_EQ(grid.lefts.back() + grid.tile_width, 200);
  EXPECT_EQ(grid.tops.back() + grid.tile_height, 160);
}

TEST(Tiles, StartsAreAligned) {
  for (int width = 64; width < 640; width += 32) {
    const auto grid = plan_tiles(width, 64, 128, 16, 8);
    EXPECT_EQ(grid.lefts.back() + grid.tile_width, width);
    for (std::size_t i = 0; i < grid.lefts.size(); ++i) {
      EXPECT_EQ(grid.lefts[i] % 8, 0);
      if (i > 0) {
        EXPECT_GE(grid.lefts[i - 1] + grid.tile_width - grid.lefts[i], 16);
      }
    }
    const auto latents = grid.scaled(2, 8);
    EXPECT_EQ(latents.width, width / 4);
    EXPECT_EQ(latents.lefts.back() + latents.tile_width, width / 4);
  }
}

TEST(Tiles, TilesOfAnotherSizeOrCountAreRejected) {
  const auto grid = plan_tiles(50, 40, 16, 6);
  EXPECT_THROW(cut_tile(random_image(50, 41), grid, 0), Error);
  EXPECT_THROW(blend_tiles({random_image(16, 16)}, grid), Error);
  EXPECT_THROW(blend_tiles(std::vector<Image>(grid.count(), random_image(16, 15)), grid), Error);
}

}  // namespace
}  // namespace easel
