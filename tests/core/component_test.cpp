#include "core/component.h"

#include <gtest/gtest.h>

namespace easel {
namespace {

TEST(Component, NamesAndEnumeratorsMatch) {
  for (const char* name : {"text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "unet", "vae", "scheduler",
                           "low_res_scheduler", "image_encoder", "safety_checker"}) {
    const auto component = find_component(name);
    ASSERT_TRUE(component) << name;
    EXPECT_EQ(component_name(*component), name);
  }
  EXPECT_EQ(component_name(Component::kUnet), "unet");
  EXPECT_EQ(component_name(Component::kTextEncoder2), "text_encoder_2");
  EXPECT_EQ(component_name(Component::kSafetyChecker), "safety_checker");
  EXPECT_FALSE(find_component("feature_extractor"));
  EXPECT_FALSE(find_component(""));
}

TEST(Component, EachTextEncoderHasItsTokenizer) {
  EXPECT_EQ(tokenizer_of(Component::kTextEncoder), Component::kTokenizer);
  EXPECT_EQ(tokenizer_of(Component::kTextEncoder2), Component::kTokenizer2);
  EXPECT_TRUE(is_text_encoder(Component::kTextEncoder2));
  EXPECT_FALSE(is_text_encoder(Component::kTokenizer2));
  EXPECT_TRUE(is_scheduler(Component::kLowResScheduler));
  EXPECT_FALSE(is_scheduler(Component::kUnet));
}

}  // namespace
}  // namespace easel
