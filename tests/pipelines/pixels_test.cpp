#include "pipelines/images/pixels.h"

#include <ATen/Functions.h>
#include <gtest/gtest.h>

namespace easel {
namespace {

TEST(Postprocess, MapsMinusOneToOneOntoBytesAndClamps) {
  const auto decoded = at::tensor({-1.0f, 0.0f, 1.0f, -5.0f, 5.0f, 1.0f / 255}).reshape({1, 3, 1, 2});
  const auto image = to_image(to_pixels(decoded));
  EXPECT_EQ(image.width, 2);
  EXPECT_EQ(image.height, 1);
  // Planes become interleaved: (r0, g0, b0), (r1, g1, b1). 127.5 and 128 both round to the even 128.
  EXPECT_EQ(image.pixels, (std::vector<std::uint8_t>{0, 255, 255, 128, 0, 128}));
}

}  // namespace
}  // namespace easel
