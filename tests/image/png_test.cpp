// Reads the written files with libpng, which shares no code with the writer.
#include <gtest/gtest.h>
#include <png.h>

#include <random>
#include <thread>

#include "easel/error.h"
#include "easel/image.h"

namespace easel {
namespace {

Image png_noise(int width, int height) {
  std::mt19937 random(static_cast<unsigned>(width * 7919 + height));
  Image image{width, height, std::vector<std::uint8_t>(static_cast<std::size_t>(width * height * 3))};
  for (auto& value : image.pixels) value = static_cast<std::uint8_t>(random());
  return image;
}

Image flat(int width, int height, std::vector<std::uint8_t> colour) {
  Image image{width, height, {}};
  for (int i = 0; i < width * height; ++i) image.pixels.insert(image.pixels.end(), colour.begin(), colour.end());
  return image;
}

Image decode(const std::string& bytes) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  EXPECT_TRUE(png_image_begin_read_from_memory(&png, bytes.data(), bytes.size())) << png.message;
  EXPECT_EQ(png.format, static_cast<png_uint_32>(PNG_FORMAT_RGB));  // 8 bits, no alpha, no palette
  Image image{static_cast<int>(png.width), static_cast<int>(png.height), {}};
  image.pixels.resize(PNG_IMAGE_SIZE(png));
  EXPECT_TRUE(png_image_finish_read(&png, nullptr, image.pixels.data(), 0, nullptr)) << png.message;
  EXPECT_EQ(png.warning_or_error, 0u) << png.message;
  return image;
}

void expect_same_image(const Image& found, const Image& expected) {
  EXPECT_EQ(found.width, expected.width);
  EXPECT_EQ(found.height, expected.height);
  EXPECT_EQ(found.pixels, expected.pixels);
}

TEST(Png, LibpngReadsThePixelsBack) {
  for (const auto& [width, height] : {std::pair(1, 1), {3, 5}, {513, 2}, {2, 513}, {64, 64}, {1, 700}, {333, 257}}) {
    SCOPED_TRACE(::testing::Message() << width << " x " << height);
    const auto image = png_noise(width, height);
    expect_same_image(decode(encode_png(image)), image);
  }
}

TEST(Png, FlatAndSmoothImagesUseEveryFilter) {
  const auto white = flat(512, 512, {255, 255, 255});
  expect_same_image(decode(encode_png(white)), white);
  auto gradient = flat(200, 300, {0, 0, 0});
  for (std::size_t i = 0; i < gradient.pixels.size(); ++i) {
    gradient.pixels[i] = static_cast<std::uint8_t>(i % 600 / 3 + i / 600 * (i % 3));
  }
  const auto png = encode_png(gradient);
  expect_same_image(decode(png), gradient);
  EXPECT_LT(png.size(), gradient.pixels.size() / 4);
}

TEST(Png, InvalidImagesAreRejected) {
  for (const auto& image : {Image{}, Image{0, 1, {}}, Image{-1, -1, {1, 2, 3}}, Image{1, 1, {1, 2}},
                            Image{2, 1, {1, 2, 3}}, Image{1 << 20, 1 << 20, {}}}) {
    try {
      encode_png(image);
      ADD_FAILURE() << image.width << " x " << image.height;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
    }
  }
}

TEST(Png, EncodingIsThreadSafe) {
  const auto image = png_noise(97, 61);
  const auto alone = encode_png(image);
  std::vector<std::string> files(4);
  std::vector<std::thread> threads;
  for (auto& file : files) threads.emplace_back([&] { file = encode_png(image); });
  for (auto& thread : threads) thread.join();
  for (const auto& file : files) EXPECT_EQ(file, alone);
}

}  // namespace
}  // namespace easel
