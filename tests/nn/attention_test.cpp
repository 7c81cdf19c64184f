#include "nn/attention.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "block_vectors.h"
#include "easel/noise.h"

namespace easel {
namespace {

using testing::all_near;

constexpr double kFloat32Tolerance = 1e-5;  // sums of a few dozen numbers around one

/// The obviously correct version: one row, one head, one query at a time, in float64.
at::Tensor attention_by_loops(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, std::int64_t heads,
                              const at::Tensor& bias, bool causal) {
  const auto dim = q.size(2) / heads;
  auto out = at::zeros(q.sizes(), q.options().dtype(at::kDouble));
  for (std::int64_t b = 0; b < q.size(0); ++b) {
    for (std::int64_t h = 0; h < heads; ++h) {
      for (std::int64_t i = 0; i < q.size(1); ++i) {
        const auto slice = [&](const at::Tensor& x) { return x[b].narrow(1, h * dim, dim).to(at::kDouble); };
        auto scores = slice(k).mv(slice(q)[i]).div(std::sqrt(static_cast<double>(dim)));
        if (bias.defined()) scores = scores.add(bias[b][0][0]);
        if (causal) scores = scores.narrow(0, 0, i + 1);
        const auto weights = scores.softmax(0);
        out[b][i].narrow(0, h * dim, dim).copy_(slice(v).narrow(0, 0, scores.size(0)).t().mv(weights));
      }
    }
  }
  return out;
}

struct Shape {
  std::int64_t batch, queries, keys, width, heads;
};

TEST(MultiHeadAttention, MatchesNaiveLoops) {
  NoiseSource noise(1);
  for (const auto& s : {Shape{1, 1, 1, 1, 1}, Shape{2, 5, 5, 12, 3}, Shape{3, 33, 7, 40, 5}, Shape{1, 70, 77, 16, 1},
                        Shape{2, 9, 4, 14, 7}}) {
    const auto q = noise.normal({s.batch, s.queries, s.width}), k = noise.normal({s.batch, s.keys, s.width});
    const auto v = noise.normal({s.batch, s.keys, s.width}), bias = noise.normal({s.batch, 1, 1, s.keys});
    EXPECT_TRUE(all_near(multi_head_attention(q, k, v, s.heads), attention_by_loops(q, k, v, s.heads, {}, false),
                         kFloat32Tolerance));
    EXPECT_TRUE(all_near(multi_head_attention(q, k, v, s.heads, bias),
                         attention_by_loops(q, k, v, s.heads, bias, false), kFloat32Tolerance));
  }
}

TEST(MultiHeadAttention, CausalAttendsOnlyToPast) {
  NoiseSource noise(2);
  for (const std::int64_t length : {1, 8, 77}) {
    const auto q = noise.normal({2, length, 12}), k = noise.normal({2, length, 12}), v = noise.normal({2, length, 12});
    EXPECT_TRUE(all_near(multi_head_attention(q, k, v, 4, {}, AttentionMask::kCausal),
                         attention_by_loops(q, k, v, 4, {}, true), kFloat32Tolerance));
  }
}

// What `upcast_attention` would ensure: scores of 3 * 40000 do not fit float16, whose largest number is 65504.
TEST(MultiHeadAttention, ScoresAreNotLimitedByHalfPrecision) {
  for (const auto dtype : {at::kHalf, at::kBFloat16}) {
    const auto options = at::TensorOptions().dtype(dtype);
    const auto q = at::full({1, 4, 16}, 300.0, options), v = at::full({1, 4, 16}, 0.5, options);
    const auto k = at::cat({at::full({1, 3, 16}, 300.0, options), at::full({1, 1, 16}, 100.0, options)}, 1);
    for (const auto& bias : {at::Tensor(), at::zeros({1, 1, 1, 4}, options)}) {
      EXPECT_TRUE(all_near(multi_head_attention(q, k, v, 1, bias), v, 1e-3)) << toString(dtype);
    }
  }
}

TEST(Attention, AgreesWithDiffusers) {
  testing::BlockVectors block("attention");
  const Attention attention(block.scope(), {.query_dim = 12, .context_dim = 10, .heads = 3, .head_dim = 4});
  block.expect(attention(block.input(0), block.input(1), /*bias=*/{}, {}));
}

}  // namespace
}  // namespace easel
