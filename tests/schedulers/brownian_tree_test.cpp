// Properties of Brownian motion; parity_test.cpp compares the numbers with torchsde, in "dpmpp_sde".
#include "schedulers/numerics/brownian_tree.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include "support/operator_counter.h"

namespace easel {
namespace {

constexpr double kMin = 0.03, kMax = 14.6;

TEST(BrownianTree, IncrementsAreAdditive) {
  BrownianTree tree(kMin, kMax, {1, 4, 5, 3}, 7);
  const auto whole = tree.increment(kMin, kMax);
  const auto parts = tree.increment(kMin, 0.5) + tree.increment(0.5, 9.25) + tree.increment(9.25, kMax);
  // float32 sums of about fifty pieces of at most 10.
  EXPECT_LT((whole - parts).abs().max().item<float>(), 1e-4f);
}

TEST(BrownianTree, IncrementsDoNotDependOnQueryOrder) {
  BrownianTree tree(kMin, kMax, {1, 2, 3, 3}, 7), other(kMin, kMax, {1, 2, 3, 3}, 7);
  other.increment(0.1, 0.2);
  other.increment(3, 9);
  EXPECT_TRUE(at::equal(tree.increment(1, 2), other.increment(1, 2)));
  EXPECT_FALSE(at::equal(tree.increment(1, 2), BrownianTree(kMin, kMax, {1, 2, 3, 3}, 8).increment(1, 2)));
}

TEST(BrownianTree, VarianceEqualsIntervalLength) {
  BrownianTree tree(kMin, kMax, {1, 4, 64, 64}, 3);
  for (const auto& [from, to] : {std::pair{kMin, kMax}, {1.0, 1.5}, {7.0, 7.001}}) {
    const auto variance = tree.increment(from, to).square().mean().item<double>();
    EXPECT_NEAR(variance / (to - from), 1.0, 0.05);  // 16384 numbers, so the standard deviation is 0.011
  }
}

TEST(BrownianTree, PointsOutsideTheRangeAreClamped) {
  BrownianTree tree(kMin, kMax, {1, 1, 2, 2}, 7);
  EXPECT_TRUE(at::equal(tree.increment(-3, 99), tree.increment(kMin, kMax)));
  EXPECT_EQ(tree.increment(20, 30).abs().sum().item<float>(), 0.0f);
  EXPECT_EQ(tree.increment(2, 2).abs().sum().item<float>(), 0.0f);
}

TEST(BrownianTree, PointsThatRoundEquallyAreIdentical) {
  BrownianTree tree(kMin, kMax, {1, 1, 2, 2}, 7);
  EXPECT_TRUE(at::equal(tree.increment(1.0000001, 2.0000004), tree.increment(1, 2)));
  EXPECT_EQ(tree.increment(1.0000001, 1.0000004).abs().sum().item<float>(), 0.0f);
}

// The draws of an evaluation that begins where the last one ended.
TEST(BrownianTree, ChainsOfHalvingsToASharedEndAreDrawnOnce) {
  const std::vector<std::int64_t> shape{1, 1, 2, 2};
  BrownianTree tree(kMin, kMax, shape, 7);
  tree.increment(5.123457, 9.876543);
  std::int64_t kept = 0, afresh = 0;
  at::Tensor increment, expected;
  {
    const testing::OperatorCounter counter({"aten::normal_"});
    increment = tree.increment(2.345679, 5.123457);
    kept = counter.count();
  }
  BrownianTree other(kMin, kMax, shape, 7);
  {
    const testing::OperatorCounter counter({"aten::normal_"});
    expected = other.increment(2.345679, 5.123457);
    afresh = counter.count();
  }
  EXPECT_TRUE(at::equal(increment, expected));
  EXPECT_GT(kept, 0);
  EXPECT_LT(kept * 10, afresh * 6) << kept << " draws in place of " << afresh;
}

}  // namespace
}  // namespace easel
