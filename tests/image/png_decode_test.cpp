// Files are written by libpng's simplified interface, in every kind that it writes, and by hand where they are damaged.
#include <gtest/gtest.h>
#include <png.h>

#include <algorithm>
#include <string>
#include <vector>

#include "easel/error.h"
#include "easel/image_file.h"

namespace easel {
namespace {

/// A file of the given libpng format from its pixels.
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

Image gradient(int width, int height) {
  Image image{width, height, {}};
  for (int i = 0; i < width * height * 3; ++i) image.pixels.push_back(static_cast<std::uint8_t>(i * 7));
  return image;
}

std::string message_of(const std::string& bytes, const ImageFileLimits& limits = {}) {
  try {
    decode_png(bytes, limits);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
    return e.what();
  }
  return "no error";
}

TEST(PngDecode, ReadsWhatIsWritten) {
  for (const auto& [width, height] : {std::pair{1, 1}, {17, 5}, {64, 64}, {3, 200}}) {
    const auto image = gradient(width, height);
    for (const auto& bytes : {encode_png(image), write(width, height, PNG_FORMAT_RGB, image.pixels.data())}) {
      const auto found = decode_png(bytes);
      EXPECT_EQ(found.width, width);
      EXPECT_EQ(found.height, height);
      EXPECT_EQ(found.pixels, image.pixels);
    }
  }
}

TEST(PngDecode, EveryKindBecomesEightBitRgb) {
  const std::uint8_t gray[] = {0, 100, 255, 7};
  EXPECT_EQ(decode_png(write(2, 2, PNG_FORMAT_GRAY, gray)).pixels,
            (std::vector<std::uint8_t>{0, 0, 0, 100, 100, 100, 255, 255, 255, 7, 7, 7}));
  const std::uint8_t rgba[] = {1, 2, 3, 0, 4, 5, 6, 255};
  EXPECT_EQ(decode_png(write(2, 1, PNG_FORMAT_RGBA, rgba)).pixels, (std::vector<std::uint8_t>{1, 2, 3, 4, 5, 6}));
  const std::uint8_t indices[] = {1, 0, 1}, palette[] = {10, 20, 30, 40, 50, 60};
  EXPECT_EQ(decode_png(write(3, 1, PNG_FORMAT_RGB_COLORMAP, indices, palette, 2)).pixels,
            (std::vector<std::uint8_t>{40, 50, 60, 10, 20, 30, 40, 50, 60}));
  const std::uint16_t linear[] = {0, 65535, 65535};
  EXPECT_EQ(decode_png(write(1, 1, PNG_FORMAT_LINEAR_RGB, linear)).pixels, (std::vector<std::uint8_t>{0, 255, 255}));
}

TEST(PngDecode, LimitsAreCheckedBeforePixelsAreRead) {
  const auto bytes = encode_png(gradient(30, 20));
  EXPECT_EQ(message_of(bytes, {.max_edge = 30, .max_pixels = 600}), "no error");
  EXPECT_NE(message_of(bytes, {.max_edge = 29, .max_pixels = 600}).find("30 x 20"), std::string::npos);
  EXPECT_NE(message_of(bytes, {.max_edge = 30, .max_pixels = 599}).find("599 pixels"), std::string::npos);
  // A header alone that promises a huge picture: the file would end too early, but its size is refused first.
  std::string huge = bytes.substr(0, 33);
  const std::uint8_t edge[] = {0x7f, 0xff, 0xff, 0xff};
  std::copy_n(edge, 4, huge.begin() + 16);
  std::copy_n(edge, 4, huge.begin() + 20);
  EXPECT_NE(message_of(huge), "no error");
}

TEST(PngDecode, DamagedFilesAreErrors) {
  EXPECT_NE(message_of("").find("not a PNG"), std::string::npos);
  EXPECT_NE(message_of("GIF89a and so on").find("not a PNG"), std::string::npos);
  const auto bytes = encode_png(gradient(40, 40));
  for (std::size_t length = 8; length + 12 < bytes.size(); length += 13) {  // without the last chunk, pixels are whole
    EXPECT_NE(message_of(bytes.substr(0, length)).find("damaged"), std::string::npos) << length;
  }
  auto flipped = bytes;
  flipped[50] = static_cast<char>(flipped[50] ^ 0x55);
  EXPECT_NE(message_of(flipped).find("damaged"), std::string::npos);
}

}  // namespace
}  // namespace easel
