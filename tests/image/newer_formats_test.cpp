// GIF, AVIF and HEIC files, and animations, of which the first frame is decoded.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "easel/error.h"
#include "easel/image_file.h"
#include "image/files/decoders.h"
#include "support/image_files.h"

namespace easel {
namespace {

/// 19 x 23 pixels of 13 colours; the first pixel's colour occurs again.
Image thirteen_colours() {
  Image image{.width = 19, .height = 23, .pixels = {}};
  for (int i = 0; i < 19 * 23; ++i) {
    const auto colour = static_cast<std::uint8_t>(i * i % 13);
    image.pixels.insert(image.pixels.end(), {static_cast<std::uint8_t>(20 * colour), 7, colour});
  }
  return image;
}

TEST(NewerFormats, GifDecodesItsFirstFrame) {
  const auto image = thirteen_colours();
  for (const bool interlaced : {false, true}) {
    for (const int frames : {1, 3}) {
      const auto found = decode_image(testing::gif_file(image, interlaced, false, frames));
      EXPECT_EQ(found.image.width, 19);
      EXPECT_EQ(found.image.height, 23);
      EXPECT_EQ(found.image.pixels, image.pixels) << interlaced << frames;
      EXPECT_TRUE(found.alpha.empty());
    }
  }
}

TEST(NewerFormats, TheTransparentColourOfAGifIsAlpha) {
  const auto image = thirteen_colours();
  const auto found = decode_image(testing::gif_file(image, false, true));
  EXPECT_EQ(found.image.pixels, image.pixels);
  ASSERT_EQ(found.alpha.size(), 19u * 23u);
  for (std::size_t i = 0; i < found.alpha.size(); ++i) {
    const bool first_colour = std::equal(image.pixels.begin(), image.pixels.begin() + 3, &image.pixels[3 * i]);
    EXPECT_EQ(found.alpha[i], first_colour ? 0 : 255);
  }
}

TEST(NewerFormats, AnimatedWebpPutsItsFirstFrameOnTheCanvas) {
  const auto image = testing::gradient(12, 10);
  const auto found = decode_image(testing::animated_webp_file(image, 20, 16, 4, 6));
  ASSERT_EQ(found.image.width, 20);
  ASSERT_EQ(found.image.height, 16);
  ASSERT_EQ(found.alpha.size(), 320u);
  for (int y = 0; y < 16; ++y) {
    for (int x = 0; x < 20; ++x) {
      const bool inside = x >= 4 && x < 16 && y >= 6;
      const auto at = static_cast<std::size_t>(y * 20 + x);
      EXPECT_EQ(found.alpha[at], inside ? 200 : 0);
      const std::size_t in_frame = inside ? static_cast<std::size_t>((y - 6) * 12 + x - 4) : 0;
      for (std::size_t c = 0; c < 3; ++c)
        EXPECT_EQ(found.image.pixels[3 * at + c], inside ? image.pixels[3 * in_frame + c] : 0);
    }
  }
}

TEST(NewerFormats, LosslessAvifDecodesExactly) {
  const auto image = testing::gradient(40, 30);
  const auto opaque = decode_image(testing::avif_file(image));
  EXPECT_EQ(opaque.image.pixels, image.pixels);
  EXPECT_TRUE(opaque.alpha.empty());
  std::vector<std::uint8_t> alpha;
  for (int i = 0; i < 1200; ++i) alpha.push_back(static_cast<std::uint8_t>(i / 5));
  const auto transparent = decode_image(testing::avif_file(image, alpha));
  EXPECT_EQ(transparent.image.pixels, image.pixels);
  EXPECT_EQ(transparent.alpha, alpha);
}

// Every combination is one of EXIF's eight: first a rotation to the left, then an exchange of sides.
TEST(NewerFormats, AvifIsTurnedAsItsPropertiesSay) {
  constexpr int kQuarterToTheLeft = 8, kTopToBottom = 4, kLeftToRight = 2;
  const auto image = testing::gradient(40, 30);
  for (int rotation = 0; rotation < 4; ++rotation) {
    for (const int mirroring : {-1, 0, 1}) {
      DecodedImage expected{.image = image, .alpha = {}};
      for (int i = 0; i < rotation; ++i) expected = upright(std::move(expected), kQuarterToTheLeft);
      if (mirroring >= 0) expected = upright(std::move(expected), mirroring == 0 ? kTopToBottom : kLeftToRight);
      const auto found = decode_image(testing::avif_file(image, {}, rotation, mirroring));
      EXPECT_EQ(found.image.width, rotation % 2 == 0 ? 40 : 30);
      EXPECT_EQ(found.image.pixels, expected.image.pixels) << rotation << ' ' << mirroring;
    }
  }
}

TEST(NewerFormats, HeicDecodesWithinItsLoss) {
  constexpr int kNear = 12;  // of 255: two chroma samples a pixel pair, quality 95
  const auto image = testing::gradient(96, 64);
  const auto file = testing::heic_file(image);
  if (file.empty()) {
    const auto heic = std::string("\0\0\0\x14", 4) + "ftypheic....mif1";
    EXPECT_THROW(decode_image(heic), Error);
    return;
  }
  const auto found = decode_image(file);
  ASSERT_EQ(found.image.width, 96);
  ASSERT_EQ(found.image.height, 64);
  int worst = 0;
  for (std::size_t i = 0; i < image.pixels.size(); ++i)
    worst = std::max(worst, std::abs(found.image.pixels[i] - image.pixels[i]));
  EXPECT_LE(worst, kNear);
  EXPECT_THROW(decode_image(file.substr(0, file.size() / 2)), Error);
}

TEST(NewerFormats, InterlacedPngEqualsThePlainOne) {
  const auto image = testing::gradient(37, 21);
  const std::vector<std::uint8_t> alpha(37 * 21, 77);
  EXPECT_EQ(decode_image(testing::interlaced_png_file(image)).image.pixels, image.pixels);
  const auto transparent = decode_image(testing::interlaced_png_file(image, alpha));
  EXPECT_EQ(transparent.image.pixels, image.pixels);
  EXPECT_EQ(transparent.alpha, alpha);
}

}  // namespace
}  // namespace easel
