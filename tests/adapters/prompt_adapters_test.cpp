#include "adapters/prompt_adapters.h"

#include <gtest/gtest.h>

#include "easel/error.h"

namespace easel {
namespace {

GenerationRequest read(const std::string& prompt, std::vector<AdapterSelection> loras = {}) {
  GenerationRequest r;
  r.prompt = prompt;
  r.negative_prompt = prompt;
  r.loras = std::move(loras);
  return with_prompt_adapters(std::move(r));
}

TEST(PromptAdapters, AreRemovedFromThePrompt) {
  const auto r = read("a <lora:my style:0.8>fox <lora:b>on <lyco:c:-1.5e-1> blue");
  EXPECT_EQ(r.prompt, "a fox on  blue");
  ASSERT_EQ(r.loras.size(), 3u);
  EXPECT_EQ(r.loras[0].name, "my style");
  EXPECT_EQ(r.loras[0].weight, 0.8);
  EXPECT_EQ(r.loras[1].name, "b");
  EXPECT_EQ(r.loras[1].weight, 1.0);
  EXPECT_EQ(r.loras[2].name, "c");
  EXPECT_EQ(r.loras[2].weight, -0.15);
}

TEST(PromptAdapters, AreAppendedToThoseOfTheRequest) {
  const auto r = read("<lora:b:2>", {{"a", 0.5}});
  ASSERT_EQ(r.loras.size(), 2u);
  EXPECT_EQ(r.loras[0].name, "a");
  EXPECT_EQ(r.loras[1].name, "b");
  EXPECT_EQ(r.prompt, "");
  EXPECT_EQ(r.negative_prompt, "<lora:b:2>");
}

TEST(PromptAdapters, OtherTextIsUnchanged) {
  for (const char* text : {"", "a < b", "<lora:", "<lora:x", "< lora:x:1>", "<hypernet:x:1>", "lora:x:1>"}) {
    const auto r = read(text);
    EXPECT_EQ(r.prompt, text);
    EXPECT_TRUE(r.loras.empty());
  }
}

// As extra_networks_lora.py of AUTOMATIC1111's web UI.
TEST(PromptAdapters, TextEncoderWeightIsParsed) {
  const struct {
    const char* text;
    double unet;
    std::optional<double> text_encoder;
  } cases[] = {{"<lora:x:0.5:0.8>", 0.8, 0.5},        {"<lora:x:te=0.5:unet=0.8>", 0.8, 0.5},
               {"<lora:x:unet=0.8>", 0.8, 1.0},       {"<lora:x:te=0.5>", 0.5, std::nullopt},
               {"<lora:x:0.5:unet=0.8>", 0.8, 0.5},   {"<lora:x:0.5:te=0.2>", 0.2, std::nullopt},
               {"<lora:x:0.5:0.8:te=0.2>", 0.8, 0.2}, {"<lora:x>", 1.0, std::nullopt}};
  for (const auto& [text, unet, text_encoder] : cases) {
    const auto use = read(text).loras.at(0);
    EXPECT_EQ(use.name, "x") << text;
    EXPECT_EQ(use.weight, unet) << text;
    EXPECT_EQ(use.text_encoder_weight, text_encoder) << text;
  }
}

TEST(PromptAdapters, WeightsAreParsedAsPythonFloats) {
  for (const char* text : {"<lora:x:0.5>", "<lora:x:.5>", "<lora:x:+0.5>", "<lora:x: 5e-1 >"}) {
    EXPECT_EQ(read(text).loras.at(0).weight, 0.5) << text;
  }
  for (const char* text : {"<lora:x:>", "<lora:x:1:>", "<lora:x:1:2:3>", "<lora:x:te=>", "<lora:x:dyn=4>",
                           "<lora:x:strong>", "<lora:x:+-1>", "<lora:x:1,5>"}) {
    try {
      read(text);
      FAIL() << text;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
      EXPECT_EQ(e.param(), "prompt");
    }
  }
}

}  // namespace
}  // namespace easel
