// Checks that no text from outside can start a new line in a log, or change how a line is displayed.
#include "core/visible_text.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace easel {
namespace {

TEST(VisibleText, LeavesPrintableTextAlone) {
  for (const char* text : {"", "a fox", "caf\u00e9 \\x", "\u6f22\u5b57 \U0001F98A", "\u00a0\u2027\u202f\u2065"}) {
    EXPECT_EQ(visible_text(text), text);
    EXPECT_EQ(visible_json(text), text);
  }
}

TEST(VisibleText, EscapesControlCharacters) {
  EXPECT_EQ(visible_text(std::string("a\nb\x1b[0m\x7f\0", 9)), "a\\x0ab\\x1b[0m\\x7f\\x00");
  EXPECT_EQ(visible_text("\u0080 \u0085 \u009b31m \u009f"), "\\u0080 \\u0085 \\u009b31m \\u009f");
  EXPECT_EQ(visible_json("\x7f\u0085"), "\\u007f\\u0085");
}

TEST(VisibleText, EscapesSeparatorsAndBidirectionalControls) {
  for (const auto& [text, escaped] :
       std::initializer_list<std::pair<const char*, const char*>>{{"\u061c", "\\u061c"},
                                                                  {"\u200e", "\\u200e"},
                                                                  {"\u200f", "\\u200f"},
                                                                  {"\u2028", "\\u2028"},
                                                                  {"\u2029", "\\u2029"},
                                                                  {"\u202a", "\\u202a"},
                                                                  {"\u202e", "\\u202e"},
                                                                  {"\u2066", "\\u2066"},
                                                                  {"\u2069", "\\u2069"}}) {
    EXPECT_EQ(visible_text(text), escaped);
    EXPECT_EQ(visible_json(text), escaped);
  }
}

// A terminal that does not use UTF-8 takes the byte 0x9b for the beginning of a command.
TEST(VisibleText, EscapesBytesThatAreNotUtf8) {
  EXPECT_EQ(visible_text("\x9b"
                         "31m"),
            "\\x9b31m");
  EXPECT_EQ(visible_text("\xc3"), "\\xc3");
  EXPECT_EQ(visible_text("\xe2\x80"), "\\xe2\\x80");
  EXPECT_EQ(visible_text("\xc0\x8a"), "\\xc0\\x8a") << "an overlong line feed";
  EXPECT_EQ(visible_text("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "a surrogate";
  EXPECT_EQ(visible_text("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80") << "beyond U+10FFFF";
}

TEST(VisibleText, JsonKeepsItsValue) {
  const std::string hostile = "a\n\x7f\u0085\u2028\u202e\u2069\"\\ caf\u00e9";
  const auto text = nlohmann::json(hostile).dump();
  EXPECT_EQ(nlohmann::json::parse(visible_json(text)), hostile);
}

}  // namespace
}  // namespace easel
