#include "nn/prompt_projections.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "easel/error.h"
#include "nn/layers.h"
#include "support/operator_counter.h"
#include "weights/loading/weights.h"
#include "weights/stores/memory_store.h"

namespace easel {
namespace {

constexpr std::int64_t kIn = 12, kOut = 8;

ImageRows image(std::int64_t rows, std::int64_t tokens) {
  return {.projections = std::make_shared<PromptProjections>(), .rows = rows, .tokens = tokens};
}

Linear make_linear(const at::Tensor& weight) {
  Weights weights(std::make_shared<MemoryStore>(std::map<std::string, at::Tensor>{{"to_k.weight", weight}}), {});
  Linear linear(ModuleScope(weights.root()) / "to_k", kIn, kOut, Bias::kNone);
  weights.finish();
  return linear;
}

TEST(PromptProjections, LayerOfThePromptIsComputedOnceForEachImage) {
  const auto weight = at::randn({kOut, kIn});
  const auto linear = make_linear(weight), other = make_linear(at::randn({kOut, kIn}));
  const auto first = at::randn({2, 7, kIn}), second = at::randn({1, 7, kIn});
  const std::vector<ImageRows> of_first{image(2, 7)}, both{of_first[0], image(1, 7)};
  const testing::OperatorCounter counter(testing::kLinear);
  EXPECT_TRUE(linear.of_prompts(first, {.images = &of_first}).equal(linear(first, {})));
  EXPECT_EQ(counter.count(), 2);
  linear.of_prompts(first, {.images = &of_first});
  EXPECT_EQ(counter.count(), 2);
  EXPECT_TRUE(linear.of_prompts(at::cat({first, second}), {.images = &both})
                  .equal(at::cat({linear(first, {}), linear(second, {})})));
  EXPECT_EQ(counter.count(), 5) << "two of them are those of the comparison";
  EXPECT_TRUE(other.of_prompts(first, {.images = &of_first}).equal(other(first, {})))
      << "layers have results of their own";
  linear.of_prompts(first, {});
  linear.of_prompts(first, {});
  EXPECT_EQ(counter.count(), 9) << "without images, nothing is kept";
}

TEST(PromptProjections, ShorterPromptsAreFilledUpWithZeros) {
  const auto linear = make_linear(at::randn({kOut, kIn}));
  const auto prompts = at::randn({2, 7, kIn});
  const std::vector<ImageRows> images{image(1, 3), image(1, 7)};
  for (int step = 0; step < 2; ++step) {
    const auto result = linear.of_prompts(prompts, {.images = &images});
    ASSERT_EQ(result.sizes(), (std::vector<std::int64_t>{2, 7, kOut}));
    EXPECT_TRUE(result[0].narrow(0, 0, 3).equal(linear(prompts.narrow(0, 0, 1).narrow(1, 0, 3), {})[0]));
    EXPECT_TRUE(result[0].narrow(0, 3, 4).equal(at::zeros({4, kOut})));
    EXPECT_TRUE(result[1].equal(linear(prompts.narrow(0, 1, 1), {})[0]));
  }
}

TEST(PromptProjections, AFailureIsNotKept) {
  PromptProjections projections;
  const LayerSlot layer{.name = "to_k", .shape = {kOut, kIn}};
  EXPECT_THROW(projections.get(layer, []() -> at::Tensor { throw Error(ErrorCode::kCancelled, "cancelled"); }), Error);
  EXPECT_TRUE(projections.empty());
  EXPECT_EQ(projections.get(layer, [] { return at::zeros({3}); }).numel(), 3);
}

TEST(RecentPrompts, OnlyTheLastOnesKeepTheirResults) {
  const LayerSlot layer{.name = "to_k", .shape = {kOut, kIn}};
  const auto use = [&](RecentPrompts& recent, const std::vector<ImageRows>& images) {
    recent.use(images);
    for (const auto& used : images) used.projections->get(layer, [] { return at::zeros({1}); });
  };
  RecentPrompts recent(2);
  const auto a = image(1, 7), b = image(1, 7), c = image(1, 7);
  use(recent, {a});
  use(recent, {b, b});
  use(recent, {a});
  EXPECT_FALSE(a.projections->empty());
  EXPECT_FALSE(b.projections->empty());
  use(recent, {c});
  EXPECT_TRUE(b.projections->empty()) << "b was used before a";
  EXPECT_FALSE(a.projections->empty());
  use(recent, {a, b, c});
  for (const auto& used : {a, b, c}) EXPECT_FALSE(used.projections->empty()) << "a step needs all of its own";
  use(recent, {a});
  EXPECT_TRUE(b.projections->empty() || c.projections->empty());
  auto gone = image(1, 7);
  use(recent, {gone});
  gone.projections.reset();
  use(recent, {b});
  EXPECT_FALSE(a.projections->empty()) << "images that are done do not count";
}

}  // namespace
}  // namespace easel
