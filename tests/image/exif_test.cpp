// EXIF orientation is found in every way of storing it, and applied.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "image/files/decoders.h"
#include "support/image_files.h"

namespace easel {
namespace {

using testing::with_orientation;

/// The pixels as text, each by its own number; rows are separated by bars.
std::string layout(const Image& image) {
  std::string text;
  for (int y = 0; y < image.height; ++y) {
    if (y > 0) text += '|';
    for (int x = 0; x < image.width; ++x) text += static_cast<char>('0' + image.pixels[3 * (y * image.width + x)]);
  }
  return text;
}

TEST(Exif, EveryOrientationIsApplied) {
  Image image{.width = 3, .height = 2, .pixels = {}};
  for (std::uint8_t i = 0; i < 6; ++i) image.pixels.insert(image.pixels.end(), {i, i, i});
  const std::vector<std::string> expected = {"012|345",  "210|543",  "543|210",  "345|012",
                                             "03|14|25", "30|41|52", "52|41|30", "25|14|03"};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    EXPECT_EQ(layout(upright({.image = image, .alpha = {}}, orientation).image),
              expected[static_cast<std::size_t>(orientation - 1)])
        << orientation;
  }
}

TEST(Exif, OrientationIsAppliedInEveryFormat) {
  const auto image = testing::gradient(32, 16);
  std::vector<std::uint8_t> alpha;
  for (int i = 0; i < 32 * 16; ++i) alpha.push_back(static_cast<std::uint8_t>(i / 2));
  for (const auto& bytes : {testing::jpeg_file(image), testing::png_file(image), testing::png_file(image, alpha),
                            testing::webp_file(image), testing::webp_file(image, alpha)}) {
    const auto plain = decode_image(bytes);
    for (const std::string order : {"MM", "II"}) {
      for (std::uint16_t orientation = 1; orientation <= 8; ++orientation) {
        SCOPED_TRACE(bytes.substr(0, 4) + order + std::to_string(orientation));
        const auto found = decode_image(with_orientation(bytes, orientation, order));
        const auto expected = upright(plain, orientation);
        EXPECT_EQ(found.image.pixels, expected.image.pixels);
        EXPECT_EQ(found.alpha, expected.alpha);
        EXPECT_EQ(found.image.width, orientation <= 4 ? 32 : 16);
        EXPECT_EQ(found.image.height, orientation <= 4 ? 16 : 32);
      }
    }
  }
}

// The alpha channel, which equals the red one here, must move with the pixels.
TEST(Exif, AlphaIsRotatedWithTheImage) {
  DecodedImage decoded{.image = testing::gradient(3, 2), .alpha = {}};
  for (std::size_t i = 0; i < 6; ++i) decoded.alpha.push_back(decoded.image.pixels[3 * i]);
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const auto turned = upright(decoded, orientation);
    for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(turned.alpha[i], turned.image.pixels[3 * i]) << orientation;
  }
}

TEST(Exif, InvalidExifMeansUpright) {
  const auto bytes = testing::jpeg_file(testing::gradient(8, 8));
  const auto plain = decode_image(bytes).image.pixels;
  for (const std::uint16_t orientation : {0, 9, 255, 65535}) {
    EXPECT_EQ(decode_image(with_orientation(bytes, orientation)).image.pixels, plain) << orientation;
  }
  const auto file = with_orientation(bytes, 6);
  const auto app1 = file.substr(6, 6 + 8 + 2 + 24);
  EXPECT_EQ(exif_orientation(app1), 6);
  EXPECT_EQ(exif_orientation(""), 1);
  EXPECT_EQ(exif_orientation("http://ns.adobe.com/xap/1.0/"), 1);
  for (std::size_t length = 0; length < app1.size() - 3; ++length) {
    EXPECT_EQ(exif_orientation(app1.substr(0, length)), 1) << "cut off after " << length;
  }
  auto far_directory = app1;
  std::fill_n(far_directory.begin() + 10, 4, '\xff');
  EXPECT_EQ(exif_orientation(far_directory), 1);
  auto endless = app1;
  std::fill_n(endless.begin() + 14, 2, '\xff');
  EXPECT_EQ(exif_orientation(endless), 6) << "more entries are promised than there are";
}

}  // namespace
}  // namespace easel
