// Decoded files equal what Pillow decodes: JPEG at a fraction of its size, GIF, AVIF, and first frames.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "easel/image_file.h"

namespace easel {
namespace {

std::string read_bytes_of(const std::string& name) {
  std::ifstream file(std::string(EASEL_REFERENCE_DIR) + "/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string rgba_of(const DecodedImage& decoded) {
  std::string rgba;
  for (std::size_t i = 0; i < decoded.image.pixels.size() / 3; ++i) {
    for (std::size_t c = 0; c < 3; ++c) rgba += static_cast<char>(decoded.image.pixels[3 * i + c]);
    rgba += decoded.alpha.empty() ? '\xff' : static_cast<char>(decoded.alpha[i]);
  }
  return rgba;
}

/// The largest difference of the pixels that are not fully transparent in both.
int largest_visible_difference(const std::string& a, const std::string& b) {
  int largest = 0;
  for (std::size_t i = 0; i + 3 < a.size(); i += 4) {
    if (a[i + 3] == 0 && b[i + 3] == 0) continue;
    for (std::size_t c = 0; c < 4; ++c)
      largest =
          std::max(largest, std::abs(static_cast<unsigned char>(a[i + c]) - static_cast<unsigned char>(b[i + c])));
  }
  return largest;
}

TEST(PillowDecode, FilesDecodeAsInPillow) {
  const auto cases = nlohmann::json::parse(read_bytes_of("cases.json"));
  ASSERT_GT(cases.size(), 90u);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const auto& expected = cases[i];
    SCOPED_TRACE(expected["name"].get<std::string>());
    UsedSize used_size;
    if (!expected["used"].is_null())
      used_size = [&](int, int) { return std::pair<int, int>(expected["used"][0], expected["used"][1]); };
    const auto found = decode_image(read_bytes_of(std::to_string(i) + ".file"), {}, used_size);
    EXPECT_EQ(found.image.width, expected["width"].get<int>());
    EXPECT_EQ(found.image.height, expected["height"].get<int>());
    EXPECT_EQ(found.original_size, (std::pair<int, int>(expected["original"][0], expected["original"][1])));
    const auto pixels = rgba_of(found), reference = read_bytes_of(std::to_string(i) + ".rgba");
    ASSERT_EQ(pixels.size(), reference.size());
    EXPECT_LE(largest_visible_difference(pixels, reference), expected["tolerance"].get<int>());
  }
}

}  // namespace
}  // namespace easel
