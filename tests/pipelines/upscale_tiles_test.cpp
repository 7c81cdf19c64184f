#include "pipelines/starts/upscale_tiles.h"

#include <gtest/gtest.h>

namespace easel {
namespace {

GenerationRequest request_with(int width, int height) {
  GenerationRequest request;
  request.image = std::make_shared<Image>(Image{
      .width = width,
      .height = height,
      .pixels = std::vector<std::uint8_t>(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3)});
  return request;
}

TEST(UpscaleCanvas, SourceEdgesAreRoundedDownAsInTheReference) {
  const auto sizes = upscale_sizes(4, 4, 4, /*tile=*/0);
  const auto canvas = upscale_canvas(request_with(101, 60), sizes);
  EXPECT_EQ(canvas.generated_width, 400);
  EXPECT_EQ(canvas.generated_height, 240);
  EXPECT_EQ(canvas.width, 400);
  EXPECT_FALSE(canvas.resized);
  const auto tiny = upscale_canvas(request_with(1, 3), sizes);
  EXPECT_EQ(tiny.generated_width, 16);
  EXPECT_EQ(tiny.generated_height, 16);
}

TEST(UpscaleCanvas, RequestedSizeIsTheOutputSize) {
  auto request = request_with(64, 64);
  request.width = 100;
  request.height = 300;
  const auto canvas = upscale_canvas(request, upscale_sizes(2, 32, 64, /*tile=*/0));
  EXPECT_EQ(canvas.generated_width, 128);
  EXPECT_EQ(canvas.width, 100);
  EXPECT_EQ(canvas.height, 300);
  EXPECT_TRUE(canvas.resized);
}

// 95 x 127 is rounded to 64 x 96 and enlarged twice, which changes its proportions; the output restores them.
TEST(UpscaleCanvas, OutputWithTheSourcesAspectRatioIsFilled) {
  auto request = request_with(95, 127);
  request.width = 2 * 95;
  request.height = 2 * 127;
  const auto canvas = upscale_canvas(request, upscale_sizes(2, 32, 64, /*tile=*/0));
  Image drawing{.width = canvas.generated_width, .height = canvas.generated_height, .pixels = {}};
  ASSERT_EQ(drawing.width, 128);
  for (int i = 0; i < drawing.width * drawing.height; ++i) {
    drawing.pixels.insert(drawing.pixels.end(), 3, static_cast<std::uint8_t>(i % drawing.width));
  }
  const auto output = to_output(drawing, canvas);
  ASSERT_EQ(output.width, 190);
  ASSERT_EQ(output.height, 254);
  for (int x = 2; x < 188; ++x) {
    EXPECT_NEAR(output.pixels[static_cast<std::size_t>(3 * x)], (x + 0.5) * 128 / 190 - 0.5, 1) << x;
  }
}

TEST(UpscaleCanvas, UpTo2048SquaredIsNotTiled) {
  for (const int factor : {2, 4}) {
    const auto sizes = upscale_sizes(factor, 4, 4, /*tile=*/0);
    const int whole = 2048 / factor;
    EXPECT_EQ(plan_source_tiles(*request_with(whole, whole).image, sizes).count(), 1u);
    EXPECT_EQ(plan_source_tiles(*request_with(2 * whole, whole / 2).image, sizes).count(), 1u);
    const auto grid = plan_source_tiles(*request_with(whole + 4, whole).image, sizes);
    EXPECT_EQ(grid.count(), 9u);
    EXPECT_EQ(grid.tile_width, 1024 / factor);
    EXPECT_GE(grid.lefts[0] + grid.tile_width - grid.lefts[1], 128 / factor) << "an eighth is shared";
  }
}

TEST(UpscaleCanvas, ManifestTileIsRoundedToAValidSize) {
  EXPECT_EQ(upscale_sizes(2, 32, 64, /*tile=*/100).tile, 96);
  EXPECT_EQ(upscale_sizes(2, 32, 64, /*tile=*/10).tile, 64);
  EXPECT_EQ(upscale_sizes(2, 32, 64, /*tile=*/100).max_untiled_area, 96 * 96);
}

}  // namespace
}  // namespace easel
