// Decodes every kind of image file to 8-bit RGB.
#include "easel/image_file.h"

#include <gtest/gtest.h>
#include <png.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "support/image_files.h"

namespace easel {
namespace {

using testing::flat;
using testing::gradient;
using testing::jpeg_file;
using testing::JpegKind;
using testing::png_file;
using testing::webp_file;

/// A PNG file of the given libpng format from its pixels.
std::string write(int width, int height, png_uint_32 format, const void* pixels, const void* colours = nullptr,
                  png_uint_32 colour_count = 0) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.width = static_cast<png_uint_32>(width);
  png.height = static_cast<png_uint_32>(height);
  png.format = format;
  png.colormap_entries = colour_count;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(png);
  std::string bytes(size, 0);
  EXPECT_TRUE(png_image_write_to_memory(&png, bytes.data(), &size, 0, pixels, 0, colours)) << png.message;
  bytes.resize(size);
  return bytes;
}

int largest_difference(const Image& a, const Image& b) {
  if (a.pixels.size() != b.pixels.size()) return 256;
  int largest = 0;
  for (std::size_t i = 0; i < a.pixels.size(); ++i) largest = std::max(largest, std::abs(a.pixels[i] - b.pixels[i]));
  return largest;
}

TEST(ImageFile, PngRoundTrips) {
  for (const auto& [width, height] : {std::pair{1, 1}, {17, 5}, {64, 64}, {3, 200}}) {
    const auto image = gradient(width, height);
    for (const auto& bytes : {encode_png(image), png_file(image)}) {
      const auto found = decode_image(bytes);
      EXPECT_EQ(found.image.width, width);
      EXPECT_EQ(found.image.height, height);
      EXPECT_EQ(found.image.pixels, image.pixels);
      EXPECT_TRUE(found.alpha.empty());
    }
  }
}

TEST(ImageFile, EveryPngColourTypeDecodesToRgb8) {
  const std::uint8_t gray[] = {0, 100, 255, 7};
  EXPECT_EQ(decode_image(write(2, 2, PNG_FORMAT_GRAY, gray)).image.pixels,
            (std::vector<std::uint8_t>{0, 0, 0, 100, 100, 100, 255, 255, 255, 7, 7, 7}));
  const std::uint8_t indices[] = {1, 0, 1}, palette[] = {10, 20, 30, 40, 50, 60};
  const auto indexed = decode_image(write(3, 1, PNG_FORMAT_RGB_COLORMAP, indices, palette, 2));
  EXPECT_EQ(indexed.image.pixels, (std::vector<std::uint8_t>{40, 50, 60, 10, 20, 30, 40, 50, 60}));
  EXPECT_TRUE(indexed.alpha.empty());
  const std::uint16_t linear[] = {0, 65535, 65535};
  EXPECT_EQ(decode_image(write(1, 1, PNG_FORMAT_LINEAR_RGB, linear)).image.pixels,
            (std::vector<std::uint8_t>{0, 255, 255}));
}

TEST(ImageFile, AlphaIsKeptSeparately) {
  const std::uint8_t rgba[] = {1, 2, 3, 0, 4, 5, 6, 255};
  const auto colours = decode_image(write(2, 1, PNG_FORMAT_RGBA, rgba));
  EXPECT_EQ(colours.image.pixels, (std::vector<std::uint8_t>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(colours.alpha, (std::vector<std::uint8_t>{0, 255}));
  const std::uint8_t gray[] = {9, 128};
  EXPECT_EQ(decode_image(write(1, 1, PNG_FORMAT_GA, gray)).alpha, (std::vector<std::uint8_t>{128}));
  // A palette with transparent entries.
  const std::uint8_t indices[] = {1, 0}, palette[] = {10, 20, 30, 255, 40, 50, 60, 0};
  const auto indexed = decode_image(write(2, 1, PNG_FORMAT_RGBA_COLORMAP, indices, palette, 2));
  EXPECT_EQ(indexed.image.pixels, (std::vector<std::uint8_t>{40, 50, 60, 10, 20, 30}));
  EXPECT_EQ(indexed.alpha, (std::vector<std::uint8_t>{0, 255}));

  const auto image = gradient(20, 10);
  std::vector<std::uint8_t> alpha(200);
  for (std::size_t i = 0; i < alpha.size(); ++i) alpha[i] = static_cast<std::uint8_t>(1 + i);
  const auto webp = decode_image(webp_file(image, alpha));
  EXPECT_EQ(webp.alpha, alpha);
  EXPECT_EQ(webp.image.pixels, image.pixels);
  EXPECT_TRUE(decode_image(webp_file(image)).alpha.empty());
  EXPECT_TRUE(decode_image(jpeg_file(image)).alpha.empty());
}

TEST(ImageFile, LossyFormatsDecodeWithinTolerance) {
  constexpr int kNear = 12;  // of 255: two chroma samples a pixel pair, quality 95
  const auto image = gradient(96, 64);
  for (const auto& bytes : {jpeg_file(image), jpeg_file(image, JpegKind::kProgressive),
                            jpeg_file(image, JpegKind::kRgb), jpeg_file(image, JpegKind::kCmyk), webp_file(image)}) {
    const auto found = decode_image(bytes).image;
    EXPECT_EQ(found.width, 96);
    EXPECT_EQ(found.height, 64);
    EXPECT_LE(largest_difference(found, image), kNear);
  }
}

TEST(ImageFile, GrayAndCmykJpegsDecodeToRgb) {
  constexpr int kNear = 2;  // flat squares cost JPEG next to nothing
  EXPECT_LE(largest_difference(decode_image(jpeg_file(flat(16, 16, 90, 0, 0), JpegKind::kGray)).image,
                               flat(16, 16, 90, 90, 90)),
            kNear);
  EXPECT_LE(largest_difference(decode_image(jpeg_file(flat(16, 16, 200, 30, 90), JpegKind::kCmyk)).image,
                               flat(16, 16, 200, 30, 90)),
            kNear);
  // Without Adobe's marker the same numbers are amounts of ink, and full black ink gives black.
  auto bare = jpeg_file(flat(16, 16, 200, 30, 90), JpegKind::kCmyk);
  const auto marker = bare.find("\xff\xee");
  ASSERT_NE(marker, std::string::npos);
  bare.erase(marker, 2 + 14);
  EXPECT_LE(largest_difference(decode_image(bare).image, flat(16, 16, 0, 0, 0)), kNear);
}

TEST(ImageFile, OddSizesDecodeInEveryFormat) {
  for (const auto& [width, height] : {std::pair{1, 1}, {1, 40}, {33, 7}}) {
    const auto image = gradient(width, height);
    for (const auto& bytes : {jpeg_file(image), jpeg_file(image, JpegKind::kGray), webp_file(image)}) {
      const auto found = decode_image(bytes).image;
      EXPECT_EQ(found.width, width);
      EXPECT_EQ(found.height, height);
      EXPECT_EQ(found.pixels.size(), image.pixels.size());
    }
  }
}

TEST(ImageFile, MaskComesFromAlphaWhereThereIsAnyElseFromThePixels) {
  DecodedImage opaque{.image = gradient(2, 1), .alpha = {}};
  EXPECT_FALSE(mask_from_alpha(opaque));
  EXPECT_EQ(mask_from_file(opaque).pixels, opaque.image.pixels);
  opaque.alpha = {255, 128};
  EXPECT_EQ(mask_from_file(opaque).pixels, opaque.image.pixels) << "nowhere less than half opaque";
  const DecodedImage transparent{.image = gradient(2, 1), .alpha = {255, 10}};
  EXPECT_EQ(mask_from_file(transparent).pixels, (std::vector<std::uint8_t>{0, 0, 0, 245, 245, 245}));
}

TEST(ImageFile, TrailingBytesAreIgnored) {
  const auto image = gradient(16, 16);
  for (const auto& bytes : {png_file(image), jpeg_file(image), webp_file(image)}) {
    EXPECT_EQ(decode_image(bytes + std::string(100, 'x')).image.pixels, decode_image(bytes).image.pixels);
  }
}

}  // namespace
}  // namespace easel
