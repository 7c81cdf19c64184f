// Handwritten cases; tests/pipelines/prompts_test.cpp compares many more with an independent parser.
#include "tokenizers/prompt_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace easel {
namespace {

using testing::ElementsAre;

WeightedText part(const std::string& text, double weight = 1.0) {
  return {.text = text, .weight = weight};
}

const WeightedText kBreak = part("BREAK", -1);

TEST(WeightedPrompt, TextWithoutSyntaxIsOneSpan) {
  EXPECT_THAT(parse_weighted_prompt(""), ElementsAre(part("")));
  const std::string text = "a cat: red, {x} <y> |z| 1.2 ";
  EXPECT_THAT(parse_weighted_prompt(text), ElementsAre(part(text)));
}

TEST(WeightedPrompt, RoundBracketsRaiseAndSquareOnesLower) {
  EXPECT_THAT(parse_weighted_prompt("an (important) word"),
              ElementsAre(part("an "), part("important", 1.1), part(" word")));
  EXPECT_THAT(parse_weighted_prompt("[quiet]"), ElementsAre(part("quiet", 1 / 1.1)));
  EXPECT_THAT(parse_weighted_prompt("((twice))"), ElementsAre(part("twice", 1.1 * 1.1)));
  EXPECT_THAT(parse_weighted_prompt("([a])"), ElementsAre(part("a", 1 / 1.1 * 1.1)));
  EXPECT_THAT(parse_weighted_prompt("([a)b]"), ElementsAre(part("a", 1.1 * (1 / 1.1)), part("b", 1 / 1.1)))
      << "the two kinds do not see each other";
}

TEST(WeightedPrompt, ANumberReplacesTheFactor) {
  EXPECT_THAT(parse_weighted_prompt("(a:1.3)"), ElementsAre(part("a", 1.3)));
  EXPECT_THAT(parse_weighted_prompt("(a : 0.5 ), b"), ElementsAre(part("a ", 0.5), part(", b")));
  EXPECT_THAT(parse_weighted_prompt("(a:-.5)(b:+2.)"), ElementsAre(part("a", -0.5), part("b", 2)));
  EXPECT_THAT(parse_weighted_prompt("((a:2) b:3)"), ElementsAre(part("a", 6), part(" b", 3)));
  EXPECT_THAT(parse_weighted_prompt("(a b:1.2:0.7)"), ElementsAre(part("a b:1.2", 0.7)));
}

TEST(WeightedPrompt, InvalidNumbersAreText) {
  EXPECT_THAT(parse_weighted_prompt("(a:1.2.3)"), ElementsAre(part("a:1.2.3", 1.1)));
  EXPECT_THAT(parse_weighted_prompt("(a:.)"), ElementsAre(part("a:.", 1.1)));
  EXPECT_THAT(parse_weighted_prompt("(a:+-1)"), ElementsAre(part("a:+-1", 1.1)));
  EXPECT_THAT(parse_weighted_prompt("(a:)"), ElementsAre(part("a:", 1.1)));
  EXPECT_THAT(parse_weighted_prompt("(a:1e2)"), ElementsAre(part("a:1e2", 1.1)));
  EXPECT_EQ(parse_weighted_prompt("(a:" + std::string(400, '9') + ")").size(), 1u);
}

TEST(WeightedPrompt, SquareBracketsTakeNoNumber) {
  EXPECT_THAT(parse_weighted_prompt("[a:1.5]"), ElementsAre(part("a:1.5", 1 / 1.1)));
  EXPECT_THAT(parse_weighted_prompt("[a:1.5)"), ElementsAre(part("a:1.5)", 1 / 1.1)));
}

TEST(WeightedPrompt, UnbalancedBracketsReachToTheEndOrAreText) {
  EXPECT_THAT(parse_weighted_prompt("(a b"), ElementsAre(part("a b", 1.1)));
  EXPECT_THAT(parse_weighted_prompt("a [b [c"),
              ElementsAre(part("a "), part("b ", 1 / 1.1), part("c", 1 / 1.1 * (1 / 1.1))));
  EXPECT_THAT(parse_weighted_prompt("a) b] c:1.2)"), ElementsAre(part("a) b] c:1.2)")));
  EXPECT_THAT(parse_weighted_prompt("("), ElementsAre(part("")));
}

TEST(WeightedPrompt, BackslashesEscape) {
  EXPECT_THAT(parse_weighted_prompt(R"(\(a\) \[b\] \\ c\d \)"), ElementsAre(part(R"((a) [b] \ cd )")));
  EXPECT_THAT(parse_weighted_prompt(R"((a\):1.2))"), ElementsAre(part("a)", 1.2)));
}

TEST(WeightedPrompt, BreakIsAWordOfItsOwnInCapitals) {
  EXPECT_THAT(parse_weighted_prompt("a  BREAK\n b"), ElementsAre(part("a"), kBreak, part("b")));
  EXPECT_THAT(parse_weighted_prompt("BREAK BREAK"), ElementsAre(part(""), kBreak, part(""), kBreak, part("")));
  EXPECT_THAT(parse_weighted_prompt("a,BREAK,b"), ElementsAre(part("a,"), kBreak, part(",b")));
  EXPECT_THAT(parse_weighted_prompt("(a)BREAK(b)"),
              ElementsAre(part("a", 1.1), part(""), kBreak, part(""), part("b", 1.1)));
  for (const std::string text : {"BREAKS", "aBREAK", "break", "_BREAK", "BREAK9",
                                 "\xc3\xa9"
                                 "BREAK"}) {
    EXPECT_THAT(parse_weighted_prompt(text), ElementsAre(part(text)));
  }
  EXPECT_THAT(parse_weighted_prompt("❤\uFE0FBREAK"), ElementsAre(part("❤\uFE0F"), kBreak, part("")));
  EXPECT_THAT(parse_weighted_prompt("BREAK²"), ElementsAre(part("BREAK²")));
  EXPECT_TRUE(kBreak.is_break());
  EXPECT_FALSE(part("BREAK").is_break());
}

TEST(WeightedPrompt, BreakInsideBracketsIsWeightedText) {
  const auto parts = parse_weighted_prompt("(a BREAK b:1.5)");
  EXPECT_THAT(parts, ElementsAre(part("a", 1.5), part("BREAK", -1.5), part("b", 1.5)));
  EXPECT_FALSE(parts[1].is_break());
}

TEST(WeightedPrompt, NeighboursOfEqualWeightAreMerged) {
  EXPECT_THAT(parse_weighted_prompt("(un)(necessary)"), ElementsAre(part("unnecessary", 1.1)));
}

TEST(WeightedPrompt, WeightsStayFiniteHoweverDeepTheyNest) {
  const std::string zeros(250, '0');
  for (const auto& text : {std::string(9000, '(') + "a", std::string(9000, '[') + "a",
                           "((((((((a:0):1" + zeros + "):1" + zeros + "):1" + zeros + "):1" + zeros + ")",
                           std::string("(((a:999999999):-999999999):999999999)")}) {
    for (const auto& piece : parse_weighted_prompt(text)) {
      EXPECT_LE(std::abs(piece.weight), kMaxPromptWeight) << text.substr(0, 30);
    }
  }
}

// One third random bytes, two thirds bytes that have a meaning in the syntax.
std::string random_prompt(std::mt19937& random) {
  static const std::vector<std::string> kParts = {"(",     ")", "[", "]", "\\", ":", ":1.2)",   ": -3 )",
                                                  "BREAK", " ", ",", "a", "0",  ".", "\xc3\xa9"};
  std::string prompt;
  for (auto length = random() % 60; length > 0; --length) {
    prompt += random() % 3 == 0 ? std::string(1, static_cast<char>(random())) : kParts[random() % kParts.size()];
  }
  return prompt;
}

TEST(WeightedPrompt, ArbitraryBytesParseAndKeepEveryLetter) {
  std::mt19937 random(3);
  const auto letters = [](const std::string& text) { return std::count(text.begin(), text.end(), 'a'); };
  for (int i = 0; i < 20000; ++i) {
    const auto prompt = random_prompt(random);
    const auto pieces = parse_weighted_prompt(prompt);
    ASSERT_FALSE(pieces.empty());
    std::ptrdiff_t found = 0;
    for (const auto& piece : pieces) {
      ASSERT_LE(std::abs(piece.weight), kMaxPromptWeight) << testing::PrintToString(prompt);
      found += letters(piece.text);
    }
    ASSERT_EQ(found, letters(prompt)) << testing::PrintToString(prompt);
  }
}

TEST(WeightedPrompt, EscapedTextRoundTrips) {
  std::mt19937 random(4);
  for (int i = 0; i < 2000; ++i) {
    std::string text, escaped;
    for (auto length = random() % 40; length > 0; --length) {
      const char c = "ab ,:()[]\\"[random() % 10];
      text += c;
      if (std::string("()[]\\").find(c) != std::string::npos) escaped += '\\';
      escaped += c;
    }
    ASSERT_THAT(parse_weighted_prompt(escaped), ElementsAre(part(text)));
    if (text.empty()) continue;
    ASSERT_THAT(parse_weighted_prompt("(" + escaped + ":1.7)"), ElementsAre(part(text, 1.7)));
  }
}

}  // namespace
}  // namespace easel
