// Compares with Pillow to the bit; see make_pillow_resize.py.
#include "image/pillow_resize.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "core/text.h"
#include "easel/error.h"

namespace easel {
namespace {

std::vector<std::uint8_t> read_bytes(const std::string& name) {
  std::ifstream file(std::string(EASEL_REFERENCE_DIR) + "/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(PillowResize, MatchesPillowExactly) {
  std::ifstream file(std::string(EASEL_REFERENCE_DIR) + "/cases.json");
  const auto cases = nlohmann::json::parse(file);
  ASSERT_EQ(cases.size(), 60u);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const auto& c = cases[i];
    SCOPED_TRACE(c.dump());
    const Image image{.width = c["from"][0], .height = c["from"][1], .pixels = read_bytes(concat(i, "-in.rgb"))};
    const auto filter = c["filter"] == "lanczos" ? PillowFilter::kLanczos : PillowFilter::kBicubic;
    const auto resized = pillow_resize(image, c["to"][0], c["to"][1], filter);
    EXPECT_EQ(resized.width, c["to"][0]);
    EXPECT_EQ(resized.height, c["to"][1]);
    EXPECT_TRUE(resized.pixels == read_bytes(concat(i, "-out.rgb")));
  }
}

TEST(PillowResize, InvalidImagesAreRejected) {
  const Image image{.width = 2, .height = 2, .pixels = std::vector<std::uint8_t>(11)};
  EXPECT_THROW(pillow_resize(image, 4, 4, PillowFilter::kLanczos), Error);
  const Image whole{.width = 2, .height = 2, .pixels = std::vector<std::uint8_t>(12)};
  EXPECT_THROW(pillow_resize(whole, 4, 0, PillowFilter::kLanczos), Error);
  EXPECT_THROW(pillow_resize(whole, 1 << 20, 1 << 20, PillowFilter::kLanczos), Error);
}

}  // namespace
}  // namespace easel
