// Writes images as PNG, JPEG and WebP files, and the metadata in them.
#include "easel/image_output.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <string>

#include "easel/error.h"
#include "easel/image_file.h"
#include "support/image_files.h"

namespace easel {
namespace {

using testing::gradient;

constexpr ImageFormat kAllFormats[] = {ImageFormat::kPng, ImageFormat::kJpeg, ImageFormat::kWebp};

int worst_difference(const Image& a, const Image& b) {
  int worst = a.pixels.size() == b.pixels.size() ? 0 : 256;
  for (std::size_t i = 0; worst < 256 && i < a.pixels.size(); ++i)
    worst = std::max(worst, std::abs(a.pixels[i] - b.pixels[i]));
  return worst;
}

Image noise(int width, int height) {
  std::mt19937 random(3);
  Image image{.width = width, .height = height, .pixels = {}};
  for (int i = 0; i < width * height * Image::kChannels; ++i) image.pixels.push_back(random() & 255);
  return image;
}

std::string encode_error(const Image& image, const OutputFormat& format) {
  try {
    encode(image, format);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(ImageOutput, EveryFormatCanBeReadBack) {
  constexpr int kPngLoss = 0, kJpegLoss = 4, kWebpLoss = 12;  // of 255, at quality 100; WebP halves the chroma's size
  for (const auto& [width, height] : {std::pair{96, 64}, {1, 1}, {33, 7}}) {
    const auto image = gradient(width, height);
    for (const auto& [format, loss] :
         {std::pair{ImageFormat::kPng, kPngLoss}, {ImageFormat::kJpeg, kJpegLoss}, {ImageFormat::kWebp, kWebpLoss}}) {
      const auto found = decode_image(encode(image, {.format = format})).image;
      EXPECT_EQ(found.width, width);
      EXPECT_EQ(found.height, height);
      EXPECT_LE(worst_difference(found, image), loss) << format_name(format);
    }
  }
}

TEST(ImageOutput, ALowerCompressionMakesASmallerFile) {
  for (const auto& image : {gradient(200, 150), noise(64, 64)}) {
    for (const auto format : {ImageFormat::kJpeg, ImageFormat::kWebp}) {
      std::size_t smaller = 0;
      for (const int compression : {0, 10, 30, 50, 70, 90, 100}) {
        const auto size = encode(image, {.format = format, .compression = compression}).size();
        EXPECT_GT(size, smaller) << format_name(format) << " at " << compression;
        smaller = size;
      }
    }
  }
}

TEST(ImageOutput, PngIgnoresTheCompression) {
  const auto image = gradient(20, 10);
  EXPECT_EQ(encode(image, {.compression = 0}), encode_png(image));
  EXPECT_EQ(encode(image, {}), encode_png(image));
}

TEST(ImageOutput, WhatAFormatCannotHoldIsRefused) {
  const auto image = gradient(4, 4);
  EXPECT_EQ(encode_error(image, {.compression = 101}), "a compression of 101 is not between 0 and 100");
  EXPECT_EQ(encode_error(image, {.compression = -1}), "a compression of -1 is not between 0 and 100");
  EXPECT_EQ(encode_error(testing::flat(65501, 1, 0, 0, 0), {.format = ImageFormat::kJpeg}),
            "an image of 65501 x 1 cannot be a JPEG file; at most 65500 pixels along an edge");
  EXPECT_EQ(encode_error(testing::flat(1, 16384, 0, 0, 0), {.format = ImageFormat::kWebp}),
            "an image of 1 x 16384 cannot be a WebP file; at most 16383 pixels along an edge");
  for (const auto format : kAllFormats) EXPECT_NE(encode_error({4, 4, {1, 2, 3}}, {.format = format}), "");
}

TEST(ImageOutput, NamesOfFormats) {
  EXPECT_EQ(format_named("png"), ImageFormat::kPng);
  EXPECT_EQ(format_named("jpeg"), ImageFormat::kJpeg);
  EXPECT_EQ(format_named("jpg"), ImageFormat::kJpeg);
  EXPECT_EQ(format_named("webp"), ImageFormat::kWebp);
  for (const auto* name : {"", "PNG", "gif", "svg", "png "}) EXPECT_FALSE(format_named(name)) << name;
  EXPECT_EQ(media_type(ImageFormat::kJpeg), "image/jpeg");
  EXPECT_EQ(file_extension(ImageFormat::kJpeg), ".jpg");
  for (const auto format : {ImageFormat::kPng, ImageFormat::kWebp}) {
    EXPECT_EQ(media_type(format), "image/" + std::string(format_name(format)));
    EXPECT_EQ(file_extension(format), "." + std::string(format_name(format)));
  }
}

TEST(ImageOutput, MetadataIsReadBackFromEveryFormat) {
  const ImageMetadata texts[] = {
      {.parameters = "a fox\nSteps: 3", .record = R"({"seed":1})", .source = DigitalSource::kTrainedAlgorithmicMedia},
      {.parameters = "Füchse, naïve", .record = {}, .source = std::nullopt},
      {.parameters = "狐 \xF0\x9F\xA6\x8A fox",
       .record = R"({"a":"bc"})",
       .source = DigitalSource::kCompositeWithTrainedAlgorithmicMedia},
      {.parameters = {}, .record = R"({"odd":12})", .source = std::nullopt},
      {.parameters = {}, .record = {}, .source = DigitalSource::kTrainedAlgorithmicMedia},
      {}};
  const auto image = gradient(40, 30);
  for (const auto format : kAllFormats) {
    const auto plain = decode_image(encode(image, {.format = format})).image.pixels;
    for (const auto& written : texts) {
      const auto file = encode(image, {.format = format}, written);
      const auto read = read_metadata(file);
      EXPECT_EQ(read.parameters, written.parameters) << format_name(format);
      EXPECT_EQ(read.record, written.record) << format_name(format);
      EXPECT_EQ(read.source, written.source) << format_name(format);
      EXPECT_EQ(decode_image(file).image.pixels, plain) << "metadata does not change pixels";
    }
  }
}

TEST(ImageOutput, NulCharactersAreLeftOutOfMetadata) {
  for (const auto format : kAllFormats) {
    const auto file = encode(gradient(8, 8), {.format = format}, {.parameters = std::string("a\0b", 3), .record = {}});
    EXPECT_EQ(read_metadata(file).parameters, "ab");
  }
}

// One segment of a JPEG file holds 64 KiB, and a character of UserComment takes two bytes.
TEST(ImageOutput, WhatDoesNotFitIntoAJpegSegmentIsLeftOut) {
  const auto read_back = [](ImageFormat format, std::size_t parameters, std::size_t record) {
    const ImageMetadata metadata{.parameters = std::string(parameters, 'p'),
                                 .record = '{' + std::string(record, 'r'),
                                 .source = DigitalSource::kTrainedAlgorithmicMedia};
    const auto found = read_metadata(encode(gradient(8, 8), {.format = format}, metadata));
    EXPECT_TRUE(found.source);
    return std::pair(found.parameters.size(), found.record.size());
  };
  EXPECT_EQ(read_back(ImageFormat::kJpeg, 20'000, 20'000), std::pair(std::size_t{20'000}, std::size_t{20'001}));
  EXPECT_EQ(read_back(ImageFormat::kJpeg, 20'000, 40'000), std::pair(std::size_t{20'000}, std::size_t{0}));
  EXPECT_EQ(read_back(ImageFormat::kJpeg, 40'000, 10), std::pair(std::size_t{0}, std::size_t{0}));
  for (const auto format : {ImageFormat::kPng, ImageFormat::kWebp})
    EXPECT_EQ(read_back(format, 40'000, 40'000), std::pair(std::size_t{40'000}, std::size_t{40'001}));
}

TEST(ImageOutput, DamagedMetadataIsNoMetadata) {
  const ImageMetadata metadata{
      .parameters = "a fox", .record = R"({"seed":1})", .source = DigitalSource::kTrainedAlgorithmicMedia};
  for (const auto format : kAllFormats) {
    const auto file = encode(gradient(8, 8), {.format = format}, metadata);
    for (std::size_t size = 0; size < file.size(); ++size) {
      const auto found = read_metadata(std::string_view(file).substr(0, size));
      EXPECT_TRUE(found.parameters.empty() || metadata.parameters.starts_with(found.parameters)) << size;
    }
  }
  EXPECT_EQ(read_metadata("").parameters, "");
  EXPECT_EQ(read_metadata("GIF89a").parameters, "");
}

}  // namespace
}  // namespace easel
