#include "tokenizers/unicode_segments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace easel {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> clusters(std::string_view text) {
  std::vector<std::string> found;
  for_each_grapheme_cluster(text, [&](std::string_view cluster) { found.emplace_back(cluster); });
  return found;
}

TEST(UnicodeSegments, GraphemeClusters) {
  EXPECT_THAT(clusters(""), ElementsAre());
  EXPECT_THAT(clusters("ae\u0301\u0323\r\n"), ElementsAre("a", "e\u0301\u0323", "\r\n"));
  EXPECT_THAT(clusters("\U0001F469\u200D\U0001F680x"), ElementsAre("\U0001F469\u200D\U0001F680", "x"));
}

TEST(UnicodeSegments, WhiteSpace) {
  EXPECT_THAT(split_at_white_space(""), ElementsAre());
  EXPECT_THAT(split_at_white_space(" \u0085\n"), ElementsAre());
  EXPECT_THAT(split_at_white_space("a\u3000b\u0085 c\u200Bd "), ElementsAre("a", "b", "c\u200Bd"));
}

TEST(UnicodeSegments, QwenWords) {
  EXPECT_THAT(split_qwen_words(""), ElementsAre());
  EXPECT_THAT(split_qwen_words("it's we'LL x'q"), ElementsAre("it", "'s", " we", "'LL", " x", "'q"));
  EXPECT_THAT(split_qwen_words("12\u00BD"), ElementsAre("1", "2", "\u00BD"));
  EXPECT_THAT(split_qwen_words("a  b   "), ElementsAre("a", " ", " b", "   "));
  EXPECT_THAT(split_qwen_words("a \n\n  b\t!"), ElementsAre("a", " \n\n", " ", " b", "\t", "!"));
  EXPECT_THAT(split_qwen_words(" !?\r\n\nx\u0301y"), ElementsAre(" !?\r\n\n", "x", "\u0301y"));
}

}  // namespace
}  // namespace easel
