#include "tokenizers/unicode_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace easel {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Table 3-8 to 3-11 of the Unicode standard: one replacement for each maximal subpart.
TEST(UnicodeText, OneReplacementForEachMaximalSubpart) {
  EXPECT_EQ(to_valid_utf8("gr\xC3\xBCn \xF0\x9F\x98\x80"), "grün 😀");
  EXPECT_EQ(to_valid_utf8("a\x80z"), "a\uFFFDz");
  EXPECT_EQ(to_valid_utf8("\xC0\xAF\xE0\x80\xBF"), "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(to_valid_utf8("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");  // a surrogate
  EXPECT_EQ(to_valid_utf8("\xF4\x91\x92\x93\xFF"), "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(to_valid_utf8("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"),
            "\uFFFD\uFFFD\uFFFD\uFFFD"
            "A");
  EXPECT_EQ(to_valid_utf8(std::string_view("a\0b", 3)), std::string_view("a\0b", 3));
}

TEST(UnicodeText, NormalizeComposesFoldsSpaceAndLowersEachCodePointByItself) {
  EXPECT_EQ(normalize_prompt("E\u0301COLE"), "école");
  EXPECT_EQ(normalize_prompt(" A\t\r\n\u00A0\u3000B "), " a b ");
  EXPECT_EQ(normalize_prompt("ΟΔΥΣΣΕΥΣ"), "οδυσσευσ");          // no final sigma
  EXPECT_EQ(normalize_prompt("\u0130"), "i\u0307");             // the one mapping to two
  EXPECT_EQ(normalize_prompt("STRASSE ẞ ß"), "strasse ß ß");    // ß has no other lower case
  EXPECT_EQ(normalize_prompt("\u200B\uFEFF"), "\u200B\uFEFF");  // of no width, but no white space
  EXPECT_EQ(normalize_prompt(""), "");
}

// Values are those of Python's text.lower().strip().
TEST(UnicodeText, LowerCaseFollowsTheSpecialCasesOfUnicodeAndWhiteSpaceIsStripped) {
  EXPECT_EQ(lower_case_and_strip("\t A  FOX\u3000\n"), "a  fox");
  EXPECT_EQ(lower_case_and_strip("ΟΔΥΣΣΕΥΣ ΣΑΣ."), "οδυσσευς σας.");
  EXPECT_EQ(lower_case_and_strip("\u0130STANBUL"), "i\u0307stanbul");
  EXPECT_EQ(lower_case_and_strip("STRASSE ẞ"), "strasse ß");
  EXPECT_EQ(lower_case_and_strip("\x1C\x1D\x1E\x1F\u0085\u00A0\u2028x\u205F"), "x");
  EXPECT_EQ(lower_case_and_strip("\u200Bx\uFEFF"), "\u200Bx\uFEFF");
  EXPECT_EQ(lower_case_and_strip("E\u0301"), "e\u0301");
  EXPECT_EQ(lower_case_and_strip(" \n "), "");
  EXPECT_EQ(lower_case_and_strip(""), "");
  EXPECT_EQ(lower_case_and_strip("A\x80"), "a\uFFFD");
}

// U+1DFA became a mark in Unicode 14, which is newer than the data with which the reference composes.
TEST(UnicodeText, MarksNewerThanUnicode9AreNotComposed) {
  EXPECT_EQ(normalize_prompt("e\u1DFA\u0323"), "e\u1DFA\u0323");
  EXPECT_EQ(normalize_prompt("e\u0301\u0323"), "ẹ\u0301");
}

TEST(UnicodeText, WordsAreLettersSingleNumbersContractionsOrTheRest) {
  EXPECT_THAT(split_words("it's 'tis we'll 2024!? a_b"),
              ElementsAre("it", "'s", "'t", "is", "we", "'ll", "2", "0", "2", "4", "!?", "a", "_", "b"));
  EXPECT_THAT(split_words("!'s"), ElementsAre("!'", "s"));  // the run began before the apostrophe
  EXPECT_THAT(split_words("'S"), ElementsAre("'", "S"));
  EXPECT_THAT(split_words("猫1½ⅷe\u0301"), ElementsAre("猫", "1", "½", "ⅷ", "e", "\u0301"));
  EXPECT_THAT(split_words("  "), IsEmpty());
}

TEST(UnicodeText, MarkersAreSplitIntoThreeWords) {
  EXPECT_THAT(split_words("a<|endoftext|>!"), ElementsAre("a", "<|", "endoftext", "|>", "!"));
  EXPECT_THAT(split_words("<|pad|>!"), ElementsAre("<|", "pad", "|>!"));
}

TEST(UnicodeText, SpaceAndWordCharactersAtTheEnds) {
  EXPECT_EQ(leading_space(" \u3000a "), 4u);
  EXPECT_EQ(trailing_space(" a\u3000 "), 4u);
  EXPECT_EQ(trailing_space("a"), 0u);
  EXPECT_EQ(leading_space(" \n"), 2u);
  EXPECT_EQ(trailing_space(" \n"), 2u);
  for (const char* word : {"a", "_", "9", "é", "\u0301", "\u200D", "猫"}) {
    EXPECT_TRUE(starts_with_word_character(word) && ends_with_word_character(word)) << word;
  }
  for (const char* other : {"", " ", "-", "½", "😀"}) {
    EXPECT_FALSE(starts_with_word_character(other) || ends_with_word_character(other)) << other;
  }
}

TEST(UnicodeText, AlphanumericsMatchPython) {
  for (const char* word : {"a", "_", "9", "é", "猫", "½", "²", "٣"}) {
    EXPECT_TRUE(starts_with_alphanumeric(word) && ends_with_alphanumeric(word)) << word;
  }
  for (const char* other : {"", " ", "-", "\u0301", "\u200D", "\uFE0F", "😀"}) {
    EXPECT_FALSE(starts_with_alphanumeric(other) || ends_with_alphanumeric(other)) << other;
  }
}

}  // namespace
}  // namespace easel
