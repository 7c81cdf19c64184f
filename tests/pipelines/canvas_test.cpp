#include "pipelines/images/canvas.h"

#include <gtest/gtest.h>

namespace easel {
namespace {

ModelDescription model(bool native_only) {
  ModelDescription d;
  d.native_width = d.native_height = native_only ? 128 : 512;
  d.cell = 8;
  d.native_size_only = native_only;
  return d;
}

Image gradient(int width, int height) {
  Image image{.width = width, .height = height, .pixels = {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      image.pixels.insert(image.pixels.end(), {static_cast<std::uint8_t>(x), static_cast<std::uint8_t>(y), 7});
    }
  }
  return image;
}

TEST(Canvas, MultiplesOfTheCellAreGeneratedAtTheRequestedSize) {
  const auto canvas = plan_canvas(model(false), 512, 768);
  EXPECT_EQ(canvas.generated_width, 512);
  EXPECT_EQ(canvas.generated_height, 768);
  EXPECT_FALSE(canvas.resized);
}

TEST(Canvas, OtherSizesAreRoundedUpAndCenterCropped) {
  const auto canvas = plan_canvas(model(false), 101, 60);
  EXPECT_EQ(canvas.generated_width, 104);
  EXPECT_EQ(canvas.generated_height, 64);
  const auto output = to_output(gradient(104, 64), canvas);
  EXPECT_EQ(output.width, 101);
  EXPECT_EQ(output.height, 60);
  EXPECT_EQ(output.pixels[0], 1) << "one column cut on the left, two on the right";
  EXPECT_EQ(output.pixels[1], 2) << "two rows cut above and below";
}

TEST(Canvas, NativeSizeOnlyModelGeneratesAtNativeSizeAndResizes) {
  for (const auto& [w, h] : {std::pair{512, 512}, {64, 64}, {1792, 1024}}) {
    const auto canvas = plan_canvas(model(true), w, h);
    EXPECT_EQ(canvas.generated_width, 128);
    EXPECT_EQ(canvas.generated_height, 128);
    EXPECT_TRUE(canvas.resized);
  }
  EXPECT_FALSE(plan_canvas(model(true), 128, 128).resized);
}

TEST(Canvas, OtherAspectRatiosAreLetterboxedWithEdgePixels) {
  const auto canvas = plan_canvas(model(true), 256, 128);
  const auto output = to_output(gradient(128, 128), canvas);
  const auto red = [&](int x, int y) { return output.pixels[(static_cast<std::size_t>(y) * 256 + x) * 3]; };
  EXPECT_EQ(red(0, 64), 0) << "the left edge goes on to the left";
  EXPECT_EQ(red(63, 64), 0);
  EXPECT_EQ(red(64 + 100, 64), 100) << "the drawing itself is neither cut nor stretched";
  EXPECT_EQ(red(255, 64), 127);
}

TEST(Canvas, OutputAlwaysHasTheRequestedSize) {
  for (const bool native_only : {false, true}) {
    for (const auto& [w, h] : {std::pair{1, 1}, {9, 200}, {128, 128}, {127, 129}, {333, 77}}) {
      const auto canvas = plan_canvas(model(native_only), w, h);
      const auto output = to_output(gradient(canvas.generated_width, canvas.generated_height), canvas);
      EXPECT_EQ(output.width, w);
      EXPECT_EQ(output.height, h);
      EXPECT_EQ(output.pixels.size(), static_cast<std::size_t>(w) * h * 3);
    }
  }
}

}  // namespace
}  // namespace easel
