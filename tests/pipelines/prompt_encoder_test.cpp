#include "pipelines/prompts/prompt_encoder.h"

#include <ATen/ops/full.h>
#include <gtest/gtest.h>

namespace easel {
namespace {

EncodedPrompt prompt(double value) {
  return {.embeds = at::full({1}, value), .text_embeds = {}};
}

TEST(PromptCache, EvictsTheLeastRecentlyUsed) {
  PromptCache cache(2);
  cache.insert("a", prompt(1), 1);
  cache.insert("b", prompt(2), 1);
  ASSERT_NE(cache.find("a"), nullptr);
  cache.insert("c", prompt(3), 1);
  EXPECT_EQ(cache.find("b"), nullptr);
  EXPECT_EQ(cache.find("a")->embeds.item<double>(), 1);
  EXPECT_EQ(cache.find("c")->embeds.item<double>(), 3);
  EXPECT_EQ(cache.hits(), 3u);
}

TEST(PromptCache, LongPromptsCountOncePerChunk) {
  PromptCache cache(4);
  for (const char* key : {"a", "b", "c", "d"}) cache.insert(key, prompt(0), 1);
  cache.insert("long", prompt(1), 3);
  EXPECT_NE(cache.find("d"), nullptr);
  for (const char* key : {"a", "b", "c"}) EXPECT_EQ(cache.find(key), nullptr) << key;
  cache.insert("longer than the cache", prompt(2), 5);
  EXPECT_EQ(cache.find("long"), nullptr);
  cache.insert("a", prompt(3), 4);
  EXPECT_NE(cache.find("a"), nullptr) << "what left took its count with it";
}

}  // namespace
}  // namespace easel
