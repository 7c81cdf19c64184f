#include "core/text.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

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

TEST(EscapeControlCharacters, LeavesPrintableTextAlone) {
  EXPECT_EQ(escape_control_characters("caf\u00e9 \\x"), "caf\u00e9 \\x");
  EXPECT_EQ(escape_control_characters(std::string("a\nb\x1b[0m\x7f\0", 9)), "a\\x0ab\\x1b[0m\\x7f\\x00");
}

TEST(ParseSize, ReadsWidthAndHeight) {
  EXPECT_EQ(parse_size("512x768"), std::pair(512, 768));
  EXPECT_EQ(parse_size("1x99999"), std::pair(1, 99999));
}

TEST(ParseSize, RejectsEveryOtherText) {
  for (const char* text : {"",         "x",         "512",           "512x",     "x512",
                           "512X768",  "512x768x1", "512x768 ",      " 512x768", "512 x 768",
                           "+512x768", "-512x768",  "512x-768",      "0x512",    "512x0",
                           "0512x768", "512.0x768", "512*768",       "100000x1", "1x99999999999999999999",
                           "axb",      "8x8x8",     "99999999999x8", "8.5x8"}) {
    EXPECT_FALSE(parse_size(text)) << text;
  }
}

}  // namespace
}  // namespace easel
