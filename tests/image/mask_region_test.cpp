// Compares with diffusers' VaeImageProcessor to the bit; see make_mask_region.py.
#include "image/mask_region.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "core/text.h"
#include "easel/error.h"

namespace easel {
namespace {

struct Case {
  std::size_t index;
  nlohmann::json values;

  Image image(const char* name, const char* size) const {
    std::ifstream file(concat(EASEL_REFERENCE_DIR, "/", index, "-", name, ".rgb"), std::ios::binary);
    return {.width = values[size][0],
            .height = values[size][1],
            .pixels = {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()}};
  }
  PixelBox box() const {
    const auto& box = values["box"];
    return {.left = box[0], .top = box[1], .right = box[2], .bottom = box[3]};
  }
};

std::vector<Case> region_cases() {
  std::ifstream file(std::string(EASEL_REFERENCE_DIR) + "/cases.json");
  std::vector<Case> all;
  for (auto& values : nlohmann::json::parse(file)) all.push_back({all.size(), std::move(values)});
  return all;
}

TEST(MaskRegion, BoxesAndPixelsMatchDiffusers) {
  const auto all = region_cases();
  ASSERT_EQ(all.size(), 12u);
  for (const auto& c : all) {
    SCOPED_TRACE(concat(c.index, ": ", c.values.dump()));
    const auto image = c.image("image", "size"), mask = c.image("mask", "size"), drawn = c.image("drawn", "drawn_size");
    const auto box = mask_region(mask, drawn.width, drawn.height, c.values["padding"]);
    EXPECT_TRUE(box == c.box());
    const auto filled = resize_and_fill(crop(image, c.box()), drawn.width, drawn.height);
    EXPECT_TRUE(filled.pixels == c.image("filled", "drawn_size").pixels);
    const auto placed = place_in_box(drawn, c.box(), image.width, image.height);
    EXPECT_TRUE(overlay_kept_pixels(image, mask, placed).pixels == c.image("pasted", "size").pixels);
    const auto blended = overlay_kept_pixels(image, mask, c.image("whole", "size"));
    EXPECT_TRUE(blended.pixels == c.image("blended", "size").pixels);
  }
}

Image plain(int width, int height, std::uint8_t value) {
  return {.width = width,
          .height = height,
          .pixels = std::vector<std::uint8_t>(static_cast<std::size_t>(width) * height * 3, value)};
}

TEST(MaskRegion, BlackKeepsAndWhiteReplacesEveryValue) {
  for (int value = 0; value < 256; ++value) {
    const auto original = plain(1, 1, static_cast<std::uint8_t>(value));
    const auto drawn = plain(1, 1, static_cast<std::uint8_t>(255 - value));
    EXPECT_EQ(overlay_kept_pixels(original, plain(1, 1, 0), drawn).pixels, original.pixels);
    EXPECT_EQ(overlay_kept_pixels(original, plain(1, 1, 255), drawn).pixels, drawn.pixels);
  }
}

std::string param_of_refusal(const Image& mask, int padding) {
  try {
    mask_region(mask, 16, 16, padding);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.param();
  }
  return "accepted";
}

TEST(MaskRegion, InvalidArgumentsAreRejectedByName) {
  EXPECT_EQ(param_of_refusal(plain(8, 8, 0), 0), "mask");
  EXPECT_EQ(param_of_refusal(plain(8, 8, 255), -1), "padding_mask_crop");
  EXPECT_EQ(param_of_refusal(plain(8, 8, 1), 2'000'000'000), "accepted");
  EXPECT_THROW(crop(plain(8, 8, 0), {.left = 0, .top = 0, .right = 9, .bottom = 8}), Error);
  EXPECT_THROW(crop(plain(8, 8, 0), {.left = 4, .top = 0, .right = 4, .bottom = 8}), Error);
  EXPECT_THROW(overlay_kept_pixels(plain(8, 8, 0), plain(8, 8, 0), plain(8, 9, 0)), Error);
}

}  // namespace
}  // namespace easel
