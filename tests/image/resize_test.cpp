#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "easel/error.h"
#include "easel/image.h"

namespace easel {
namespace {

/// Makes every pixel with a function of x, y and channel.
template <class F>
Image draw(int width, int height, F value) {
  Image image{width, height, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c) image.pixels.push_back(static_cast<std::uint8_t>(value(x, y, c)));
    }
  }
  return image;
}

int at(const Image& image, int x, int y, int c) {
  return image.pixels.at(static_cast<std::size_t>((y * image.width + x) * 3 + c));
}

void expect_equal(const Image& found, const Image& expected) {
  EXPECT_EQ(found.width, expected.width);
  EXPECT_EQ(found.height, expected.height);
  EXPECT_EQ(found.pixels, expected.pixels);
}

/// Numbers that differ from pixel to pixel and channel to channel.
int hash(int x, int y, int c) {
  return (x * 37 + y * 101 + c * 59 + x * y * 7) % 256;
}

TEST(Resize, FlatImageKeepsItsColourExactly) {
  for (int value = 0; value < 256; ++value) {
    const auto colour = [&](int, int, int c) { return (value + 85 * c) % 256; };
    expect_equal(resize(draw(5, 4, colour), 13, 9), draw(13, 9, colour));
    expect_equal(resize(draw(13, 9, colour), 5, 4), draw(5, 4, colour));
    expect_equal(resize(draw(7, 7, colour), 3, 20), draw(3, 20, colour));
  }
  const auto colour = [](int, int, int c) { return 40 + 90 * c; };
  expect_equal(resize(draw(128, 128, colour), 512, 512), draw(512, 512, colour));
  expect_equal(resize(draw(512, 512, colour), 64, 64), draw(64, 64, colour));
}

TEST(Resize, SameSizeReturnsTheImageUnchanged) {
  const auto image = draw(31, 17, hash);
  expect_equal(resize(image, 31, 17), image);
}

TEST(Resize, UnchangedAxisKeepsItsPixels) {
  const auto rows = draw(6, 9, [](int, int y, int c) { return hash(0, y, c); });
  expect_equal(resize(rows, 17, 9), draw(17, 9, [](int, int y, int c) { return hash(0, y, c); }));
  const auto columns = draw(9, 6, [](int x, int, int c) { return hash(x, 0, c); });
  expect_equal(resize(columns, 9, 2), draw(9, 2, [](int x, int, int c) { return hash(x, 0, c); }));
}

TEST(Resize, OnePixelFillsTheImage) {
  const Image pixel{1, 1, {10, 200, 31}};
  expect_equal(resize(pixel, 7, 9), draw(7, 9, [](int, int, int c) { return c == 0 ? 10 : c == 1 ? 200 : 31; }));
}

// Each pixel is the mean of 8 x 8 pixels with equal weights.
TEST(Resize, ReducingAverages) {
  const auto image = draw(512, 512, hash);
  const auto small = resize(image, 64, 64);
  ASSERT_EQ(small.pixels.size(), 64u * 64 * 3);
  for (int y = 0; y < 64; ++y) {
    for (int x = 0; x < 64; ++x) {
      for (int c = 0; c < 3; ++c) {
        double sum = 0;
        for (int i = 0; i < 64; ++i) sum += at(image, x * 8 + i % 8, y * 8 + i / 8, c);
        ASSERT_NEAR(at(small, x, y, c), sum / 64, 0.51) << x << ", " << y << ", " << c;
      }
    }
  }
}

// Keys 1981, a = -0.5, with the edge pixels repeated. The tolerance is half a unit for rounding, plus float32 errors.
double catmull_rom(double x) {
  x = std::abs(x);
  if (x < 1) return 1.5 * x * x * x - 2.5 * x * x + 1;
  return x < 2 ? -0.5 * x * x * x + 2.5 * x * x - 4 * x + 2 : 0;
}

TEST(Resize, EnlargingIsBicubic) {
  const auto image = draw(128, 96, [](int x, int y, int c) { return (x * 3 + y * 5 + c * 70 + (x * y) % 13) % 256; });
  const auto large = resize(image, 512, 384);
  ASSERT_EQ(large.width, 512);
  ASSERT_EQ(large.height, 384);
  for (int y = 0; y < 384; y += 3) {
    for (int x = 0; x < 512; x += 5) {
      for (int c = 0; c < 3; ++c) {
        const double u = (x + 0.5) / 4 - 0.5, v = (y + 0.5) / 4 - 0.5;
        double sum = 0;
        for (int j = static_cast<int>(std::floor(v)) - 1; j <= std::floor(v) + 2; ++j) {
          for (int i = static_cast<int>(std::floor(u)) - 1; i <= std::floor(u) + 2; ++i) {
            sum += at(image, std::clamp(i, 0, 127), std::clamp(j, 0, 95), c) * catmull_rom(u - i) * catmull_rom(v - j);
          }
        }
        ASSERT_NEAR(at(large, x, y, c), std::clamp(sum, 0.0, 255.0), 0.52) << x << ", " << y << ", " << c;
      }
    }
  }
}

TEST(Resize, PreservesOrientationAndChannelOrder) {
  const auto image = draw(8, 6, [](int x, int y, int c) { return c == 0 ? x * 30 : c == 1 ? y * 40 : 7; });
  for (const auto& [width, height] : {std::pair(40, 30), {4, 3}, {16, 3}, {5, 31}}) {
    const auto other = resize(image, width, height);
    EXPECT_LT(at(other, 0, 0, 0) + 100, at(other, width - 1, 0, 0));
    EXPECT_LT(at(other, 0, 0, 1) + 100, at(other, 0, height - 1, 1));
    EXPECT_EQ(at(other, width / 2, height / 2, 2), 7);
  }
}

TEST(CropCenter, TakesTheMiddle) {
  const auto image = draw(7, 6, hash);
  expect_equal(crop_center(image, 3, 2), draw(3, 2, [](int x, int y, int c) { return hash(x + 2, y + 2, c); }));
  // The extra pixel of an odd margin is cut on the right and at the bottom.
  expect_equal(crop_center(image, 4, 3), draw(4, 3, [](int x, int y, int c) { return hash(x + 1, y + 1, c); }));
  expect_equal(crop_center(image, 7, 6), image);
  expect_equal(crop_center(image, 1, 6), draw(1, 6, [](int, int y, int c) { return hash(3, y, c); }));
}

template <class F>
void expect_invalid(F call) {
  try {
    call();
    ADD_FAILURE() << "accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument) << e.what();
  }
}

TEST(Resize, InvalidArguments) {
  const auto image = draw(4, 3, hash);
  for (const auto& [width, height] : {std::pair(0, 3), {4, 0}, {-4, 3}, {4, -3}, {1 << 20, 1 << 20}}) {
    expect_invalid([&, w = width, h = height] { resize(image, w, h); });
    expect_invalid([&, w = width, h = height] { crop_center(image, w, h); });
  }
  expect_invalid([&] { crop_center(image, 5, 3); });
  expect_invalid([&] { crop_center(image, 4, 4); });
  const Image broken{4, 3, {1, 2, 3}};
  expect_invalid([&] { resize(broken, 4, 3); });
  expect_invalid([&] { crop_center(broken, 1, 1); });
}

}  // namespace
}  // namespace easel
