#include "core/text.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace easel {
namespace {

TEST(Quoted, CutsLongTextBetweenCharacters) {
  EXPECT_EQ(quote("short"), "\"short\"");
  for (int padding = 0; padding < 4; ++padding) {
    const auto text =
        quote(std::string(padding, 'x') + std::string("漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字"));
    EXPECT_LE(text.size(), 65u);
    EXPECT_NO_THROW(nlohmann::json(text).dump()) << "cut within a character";
  }
}

TEST(CountCodePoints, CountsCharactersNotBytes) {
  EXPECT_EQ(count_code_points(""), 0u);
  EXPECT_EQ(count_code_points("abc"), 3u);
  EXPECT_EQ(count_code_points("é漢😀"), 3u);
}

}  // namespace
}  // namespace easel
