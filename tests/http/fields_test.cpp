// What all fields share; each field's own values are in openai_images_test.
#include "http/fields.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace easel::http {
namespace {

using nlohmann::json;

TEST(Shown, CutsLongTextBetweenCharacters) {
  EXPECT_EQ(shown("short"), "\"short\"");
  for (int padding = 0; padding < 4; ++padding) {
    const auto text =
        shown(std::string(padding, 'x') + std::string("漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字"));
    EXPECT_LE(text.size(), 65u);
    EXPECT_NO_THROW(json(text).dump()) << "cut within a character";
  }
}

TEST(CountCodePoints, CountsCharactersNotBytes) {
  EXPECT_EQ(count_code_points(""), 0u);
  EXPECT_EQ(count_code_points("abc"), 3u);
  EXPECT_EQ(count_code_points("é漢😀"), 3u);
}

TEST(Fields, TellNullFromAbsentOnlyWhenAsked) {
  const json object = {{"a", nullptr}, {"b", 1}};
  const Fields fields(object);
  EXPECT_EQ(fields.find("a"), nullptr);
  EXPECT_EQ(fields.find("c"), nullptr);
  EXPECT_NE(fields.find("b"), nullptr);
  EXPECT_TRUE(fields.is_null("a"));
  EXPECT_FALSE(fields.is_null("b") || fields.is_null("c"));
}

}  // namespace
}  // namespace easel::http
