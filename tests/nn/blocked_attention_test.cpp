// easel's own attention kernels, each against a plain computation in float64.
#include "nn/kernels/blocked_attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/softmax.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/text.h"
#include "nn/kernels/attention_kernel.h"
#include "tensor/placement.h"

namespace easel {
namespace {

struct AttentionCase {
  std::int64_t images, heads, queries, keys, width;
};

// Widths of whole vectors and others, more queries and keys than a block, one of each, and fewer keys than a vector.
const std::vector<AttentionCase> kCases{{2, 3, 97, 77, 40},   {1, 2, 200, 600, 64}, {1, 1, 1, 1, 2},
                                        {1, 2, 7, 300, 160},  {2, 1, 96, 256, 256}, {1, 2, 13, 5, 8},
                                        {1, 2, 100, 257, 22}, {1, 1, 5, 64, 80}};

std::string describe(const AttentionCase& c) {
  return concat(c.images, " x ", c.heads, " heads, ", c.queries, " queries, ", c.keys, " keys, width ", c.width);
}

struct Operands {
  at::Tensor query, key, value;
};

Operands random_operands(const AttentionCase& c, c10::ScalarType dtype) {
  const auto random = [&](std::int64_t rows) { return at::randn({c.images, rows, c.heads * c.width}).to(dtype); };
  return {random(c.queries), random(c.keys), random(c.keys)};
}

at::Tensor split(const at::Tensor& x, std::int64_t heads) {  // [B, L, D] -> [B, heads, L, D / heads]
  return x.to(at::kDouble).view({x.size(0), x.size(1), heads, x.size(2) / heads}).transpose(1, 2);
}

/// In float64. @param bias  broadcast to [B, heads, L, S]
at::Tensor plain_attention(const Operands& x, std::int64_t heads, const at::Tensor& bias = {}) {
  const auto q = split(x.query, heads), k = split(x.key, heads), v = split(x.value, heads);
  auto scores = q.matmul(k.transpose(2, 3)).div(std::sqrt(static_cast<double>(q.size(3))));
  if (bias.defined()) scores = scores + bias.to(at::kDouble);
  return at::softmax(scores, -1).matmul(v).transpose(1, 2).reshape(x.query.sizes());
}

double distance(const at::Tensor& found, const at::Tensor& wanted) {
  return ((found.to(at::kDouble) - wanted).norm() / wanted.norm()).item<double>();
}

double allowed_error(c10::ScalarType dtype) {
  return dtype == at::kFloat ? 3e-6 : 0x1p-7;  // bfloat16 rounds the weights of the values and the result
}

/// The dtypes for which this processor has a kernel; for others, libtorch's is used.
std::vector<c10::ScalarType> dtypes() {
  std::vector<c10::ScalarType> found;
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    if (has_blocked_attention(dtype, 40)) found.push_back(dtype);
  }
  return found;
}

class BlockedAttention : public ::testing::TestWithParam<c10::ScalarType> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(BlockedAttention);

TEST_P(BlockedAttention, MatchesFloat64) {
  for (const auto& c : kCases) {
    const auto x = random_operands(c, GetParam());
    const auto found = blocked_attention(x.query, x.key, x.value, c.heads);
    EXPECT_EQ(found.scalar_type(), GetParam());
    EXPECT_LE(distance(found, plain_attention(x, c.heads)), allowed_error(GetParam())) << describe(c);
  }
}

TEST_P(BlockedAttention, AddsABiasPerKey) {
  for (const auto& c : kCases) {
    const auto x = random_operands(c, GetParam());
    const auto bias = at::randn({c.images, 1, 1, c.keys});
    EXPECT_LE(distance(blocked_attention(x.query, x.key, x.value, c.heads, bias), plain_attention(x, c.heads, bias)),
              allowed_error(GetParam()))
        << describe(c);
    const auto shared = bias.narrow(0, 0, 1);
    EXPECT_LE(
        distance(blocked_attention(x.query, x.key, x.value, c.heads, shared), plain_attention(x, c.heads, shared)),
        allowed_error(GetParam()))
        << describe(c);
  }
}

// Batches of requests with prompts of different lengths rely on it.
TEST_P(BlockedAttention, MaskedKeysAtTheEndChangeNoBit) {
  for (const auto& c : kCases) {
    const auto x = random_operands(c, GetParam());
    const auto alone = blocked_attention(x.query, x.key, x.value, c.heads);
    constexpr std::int64_t kPadding = 300;
    const auto junk = at::randn({c.images, kPadding, c.heads * c.width}).to(GetParam());
    auto mask = at::full({c.images, 1, 1, c.keys + kPadding}, true, at::kBool);
    mask.narrow(3, c.keys, kPadding).fill_(false);
    EXPECT_TRUE(
        blocked_attention(x.query, at::cat({x.key, junk}, 1), at::cat({x.value, junk}, 1), c.heads, mask).equal(alone))
        << describe(c);
  }
}

TEST_P(BlockedAttention, MaskedKeysAtTheStartDoNotCount) {
  const AttentionCase c{.images = 1, .heads = 2, .queries = 9, .keys = 700, .width = 16};
  const auto x = random_operands(c, GetParam());
  auto mask = at::full({1, 1, 1, c.keys}, true, at::kBool);
  mask.narrow(3, 0, 600).fill_(false);  // the whole of the first blocks
  const Operands rest{x.query, x.key.narrow(1, 600, 100), x.value.narrow(1, 600, 100)};
  EXPECT_LE(distance(blocked_attention(x.query, x.key, x.value, c.heads, mask), plain_attention(rest, c.heads)),
            allowed_error(GetParam()));
}

TEST_P(BlockedAttention, AnImageAndAQueryAreTheSameAloneAndTogether) {
  const AttentionCase c{.images = 3, .heads = 2, .queries = 130, .keys = 77, .width = 40};
  const auto x = random_operands(c, GetParam());
  const auto all = blocked_attention(x.query, x.key, x.value, c.heads);
  for (std::int64_t i = 0; i < c.images; ++i) {
    const auto of = [&](const at::Tensor& t) { return t.narrow(0, i, 1); };
    EXPECT_TRUE(blocked_attention(of(x.query), of(x.key), of(x.value), c.heads).equal(of(all)));
    EXPECT_TRUE(blocked_attention(of(x.query).narrow(1, 100, 3), of(x.key), of(x.value), c.heads)
                    .equal(of(all).narrow(1, 100, 3)));
  }
}

TEST_P(BlockedAttention, LargeAndEqualScoresStayFinite) {
  const auto query = at::full({1, 4, 8}, 300.0).to(GetParam()), value = at::randn({1, 50, 8}).to(GetParam());
  const auto found = blocked_attention(query, at::full({1, 50, 8}, 300.0).to(GetParam()), value, 1);
  EXPECT_LE(distance(found, value.to(at::kDouble).mean(1, true).expand({1, 4, 8})), allowed_error(GetParam()));
}

TEST_P(BlockedAttention, ReadsViewsOfAJointProjection) {
  const auto joint = at::randn({2, 50, 3 * 24 + 1}).to(GetParam());
  const Operands x{joint.narrow(2, 1, 24), joint.narrow(2, 24, 24), joint.narrow(2, 48, 24)};
  EXPECT_LE(distance(blocked_attention(x.query, x.key, x.value, 3), plain_attention(x, 3)), allowed_error(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(, BlockedAttention, ::testing::ValuesIn(dtypes()),
                         [](const auto& instance) { return dtype_name(instance.param); });

// has_blocked_attention chooses one kernel; on a processor with AVX-512 this runs the other one.
TEST(AttentionKernel, Avx2MatchesFloat64) {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return;
  const auto& kernel = kernels::float32_attention_avx2();
  for (const auto& c : kCases) {
    const AttentionCase one{.images = 1,
                            .heads = 1,
                            .queries = std::min<std::int64_t>(c.queries, kernels::kAttentionQueries),
                            .keys = c.keys,
                            .width = c.width};
    const auto x = random_operands(one, at::kFloat);
    std::vector<float> keys(static_cast<std::size_t>(kernel.packed_key_bytes(c.keys, c.width)) / sizeof(float));
    std::vector<float> values(static_cast<std::size_t>(kernel.packed_value_bytes(c.keys, c.width)) / sizeof(float));
    kernel.pack_keys(x.key.const_data_ptr(), c.width, c.keys, c.width, keys.data());
    kernel.pack_values(x.value.const_data_ptr(), c.width, c.keys, c.width, values.data());
    auto found = at::full(x.query.sizes(), -1.0F);
    kernel.run({.query = x.query.const_data_ptr(),
                .query_stride = c.width,
                .packed_keys = keys.data(),
                .packed_values = values.data(),
                .bias = nullptr,
                .keys = c.keys,
                .width = c.width,
                .scale = static_cast<float>(1.4426950408889634 / std::sqrt(static_cast<double>(c.width))),
                .output = found.mutable_data_ptr(),
                .output_stride = c.width},
               0, one.queries);
    EXPECT_LE(distance(found, plain_attention(x, 1)), allowed_error(at::kFloat)) << describe(one);
  }
#endif
}

}  // namespace
}  // namespace easel
