// Compares with Pillow to the bit; see make_pillow_blur.py.
#include "image/pillow_blur.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "core/text.h"
#include "easel/error.h"

namespace easel {
namespace {

std::vector<std::uint8_t> blur_bytes(const std::string& name) {
  std::ifstream file(std::string(EASEL_REFERENCE_DIR) + "/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(PillowBlur, MatchesPillowExactly) {
  std::ifstream file(std::string(EASEL_REFERENCE_DIR) + "/cases.json");
  const auto cases = nlohmann::json::parse(file);
  ASSERT_EQ(cases.size(), 40u);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const auto& c = cases[i];
    SCOPED_TRACE(c.dump());
    const Image image{.width = c["size"][0], .height = c["size"][1], .pixels = blur_bytes(concat(i, "-in.rgb"))};
    EXPECT_TRUE(pillow_gaussian_blur(image, c["radius"]).pixels == blur_bytes(concat(i, "-out.rgb")));
  }
}

TEST(PillowBlur, ZeroChangesNothingAndInvalidArgumentsAreRejected) {
  const Image image{.width = 2, .height = 1, .pixels = {1, 2, 3, 4, 5, 6}};
  EXPECT_EQ(pillow_gaussian_blur(image, 0).pixels, image.pixels);
  EXPECT_THROW(pillow_gaussian_blur(image, -1), Error);
  EXPECT_THROW(pillow_gaussian_blur({.width = 2, .height = 2, .pixels = {1}}, 1), Error);
}

}  // namespace
}  // namespace easel
