// AUTOMATIC1111's `parameters` text, written and parsed.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "easel/image_metadata.h"

namespace easel {
namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

TEST(ParametersText, IsWrittenAsAutomatic1111WritesIt) {
  EXPECT_EQ(write_parameters({.prompt = "a fox, \"red\"",
                              .negative_prompt = "blurry",
                              .settings = {{"Steps", "20"}, {"Sampler", "Euler a"}, {"Size", "512x768"}}}),
            "a fox, \"red\"\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, Size: 512x768");
  EXPECT_EQ(write_parameters({.prompt = "a", .negative_prompt = "", .settings = {{"Lora hashes", "x: 1, y: 2"}}}),
            "a\nLora hashes: \"x: 1, y: 2\"");
  EXPECT_EQ(write_parameters({.prompt = "a", .negative_prompt = "", .settings = {{"Model", ""}}}), "a");
}

TEST(ParametersText, IsParsedBack) {
  const ParametersText texts[] = {
      {"a fox", "", {{"Steps", "20"}, {"Seed", "1"}, {"Size", "64x64"}}},
      {"two\nlines", "also\ntwo", {{"Steps", "20"}, {"Seed", "1"}, {"CFG scale", "7.5"}}},
      {"Steps: 1, Seed: 2, Size: 3", "", {{"Steps", "20"}, {"Seed", "1"}, {"Model", "a, b: \"c\"\\ d\ne"}}},
      {"", "only this", {{"Steps", "1"}, {"Model", "狐"}, {"Schedule type", " Karras"}}},
      {"", "", {{"Steps", "1"}, {"Model", "\"quoted\""}, {"Clip skip", "2"}}}};
  for (const auto& text : texts) {
    const auto parsed = parse_parameters(write_parameters(text));
    EXPECT_EQ(parsed.prompt, text.prompt);
    EXPECT_EQ(parsed.negative_prompt, text.negative_prompt);
    EXPECT_EQ(parsed.settings, text.settings);
  }
}

TEST(ParametersText, ALastLineWithFewerThanThreeSettingsBelongsToThePrompt) {
  const auto parsed = parse_parameters("a fox\nSteps: 20, Seed: 1");
  EXPECT_EQ(parsed.prompt, "a fox\nSteps: 20, Seed: 1");
  EXPECT_TRUE(parsed.settings.empty());
}

TEST(ParametersText, AnyTextIsParsed) {
  EXPECT_EQ(parse_parameters("").prompt, "");
  EXPECT_EQ(parse_parameters(" \n ").prompt, "");
  EXPECT_EQ(parse_parameters("Negative prompt:").negative_prompt, "");
  EXPECT_EQ(parse_parameters("  a  \r\n b ").prompt, "a\nb");
  // What does not look like a setting is passed over; a string without its end is taken literally.
  EXPECT_EQ(parse_parameters("p\n, ,x, a: 1, Steps: 2,Seed:3, Model: \"b, Size: 4").settings,
            (Settings{{"Steps", "2"}, {"Seed", "3"}, {"Model", "\"b"}, {"Size", "4"}}));
}

}  // namespace
}  // namespace easel
