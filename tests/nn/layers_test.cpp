#include "nn/layers.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "easel/noise.h"
#include "nn/layout.h"
#include "support/reference_vectors.h"
#include "weights/loading/weights.h"
#include "weights/stores/memory_store.h"

namespace easel {
namespace {

using testing::all_near;

std::shared_ptr<const TensorStore> random_store(const std::map<std::string, std::vector<std::int64_t>>& shapes) {
  NoiseSource noise(3);
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [name, shape] : shapes) tensors[name] = noise.normal(shape);
  return std::make_shared<MemoryStore>(tensors);
}

/// The obviously correct version: one output cell at a time, in float64.
at::Tensor convolution_by_loops(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                                const Conv2dOptions& o) {
  const auto padded = at::constant_pad_nd(x.to(at::kDouble), {o.padding, o.padding, o.padding, o.padding});
  const auto height = (padded.size(2) - o.kernel) / o.stride + 1, width = (padded.size(3) - o.kernel) / o.stride + 1;
  auto out = at::zeros({x.size(0), weight.size(0), height, width}, at::kDouble);
  for (std::int64_t b = 0; b < x.size(0); ++b) {
    for (std::int64_t c = 0; c < weight.size(0); ++c) {
      for (std::int64_t i = 0; i < height; ++i) {
        for (std::int64_t j = 0; j < width; ++j) {
          const auto window = padded[b].narrow(1, i * o.stride, o.kernel).narrow(2, j * o.stride, o.kernel);
          out[b][c][i][j] = window.mul(weight[c].to(at::kDouble)).sum().add(bias[c].to(at::kDouble));
        }
      }
    }
  }
  return out;
}

TEST(Conv2d, MatchesNaiveLoopsAndStaysChannelsLast) {
  NoiseSource noise(4);
  for (const auto& options :
       {Conv2dOptions{}, Conv2dOptions{.kernel = 1, .stride = 1, .padding = 0},
        Conv2dOptions{.kernel = 3, .stride = 2, .padding = 1}, Conv2dOptions{.kernel = 5, .stride = 2, .padding = 0}}) {
    const auto store = random_store({{"weight", {6, 3, options.kernel, options.kernel}}, {"bias", {6}}});
    Weights weights(store, {.device = at::kCPU, .dtype = at::kFloat});
    const Conv2d conv(weights.root(), 3, 6, options);
    const auto x = noise.normal({2, 3, 7, 8});
    const auto expected = convolution_by_loops(x, store->read("weight"), store->read("bias"), options);
    const auto out = conv(x.contiguous(at::MemoryFormat::ChannelsLast), {});
    EXPECT_TRUE(all_near(out, expected, 1e-4));
    EXPECT_TRUE(out.is_contiguous(at::MemoryFormat::ChannelsLast));
    EXPECT_TRUE(all_near(conv(x, {}), expected, 1e-4));
  }
}

TEST(Linear, MayHaveNoBias) {
  const auto store = random_store({{"weight", {4, 3}}});
  Weights weights(store, {.device = at::kCPU, .dtype = at::kFloat});
  const Linear linear(weights.root(), 3, 4, Bias::kNone);
  EXPECT_NO_THROW(weights.finish());
  const auto x = NoiseSource(5).normal({2, 5, 3});
  EXPECT_TRUE(all_near(linear(x, {}), x.matmul(store->read("weight").t()), 1e-6));
}

TEST(GroupNorm, NormalisesEachGroupInBothMemoryFormats) {
  const auto store = random_store({{"weight", {6}}, {"bias", {6}}});
  Weights weights(store, {.device = at::kCPU, .dtype = at::kFloat});
  const GroupNorm norm(weights.root(), /*groups=*/2, /*channels=*/6, /*eps=*/0.1);
  const auto x = NoiseSource(6).normal({2, 6, 3, 5}).mul(4).add(1);
  const auto groups = x.to(at::kDouble).reshape({2, 2, -1});
  const auto normal = groups.sub(groups.mean(-1, true)).div(groups.var(-1, /*unbiased=*/false, true).add(0.1).sqrt());
  const auto expected = normal.reshape({2, 6, 3, 5})
                            .mul(store->read("weight").view({1, 6, 1, 1}))
                            .add(store->read("bias").view({1, 6, 1, 1}));
  EXPECT_TRUE(all_near(norm(x, {}), expected, 1e-5));
  const auto channels_last = norm(x.contiguous(at::MemoryFormat::ChannelsLast), {});
  EXPECT_TRUE(all_near(channels_last, expected, 1e-5));
  EXPECT_TRUE(channels_last.is_contiguous(at::MemoryFormat::ChannelsLast));
}

TEST(Embedding, LooksUpAndReturnsFirstRows) {
  const auto store = random_store({{"weight", {9, 4}}});
  Weights weights(store, {.device = at::kCPU, .dtype = at::kFloat});
  const Embedding embedding(weights.root(), 9, 4);
  EXPECT_TRUE(embedding(at::arange(2, 5)).equal(store->read("weight").narrow(0, 2, 3)));
  EXPECT_TRUE(embedding.first(3).equal(store->read("weight").narrow(0, 0, 3)));
}

TEST(Layout, TokensAndMapsShareMemoryInChannelsLast) {
  const auto map = NoiseSource(8).normal({2, 6, 3, 5}).contiguous(at::MemoryFormat::ChannelsLast);
  const auto tokens = to_tokens(map);  // [2, 15, 6]
  EXPECT_EQ(tokens.data_ptr(), map.data_ptr());
  EXPECT_TRUE(tokens[1][7].equal(map.select(0, 1).select(1, 1).select(1, 2)));
  const auto back = to_map(tokens, 3, 5);
  EXPECT_EQ(back.data_ptr(), map.data_ptr());
  EXPECT_TRUE(back.equal(map));
  EXPECT_TRUE(back.is_contiguous(at::MemoryFormat::ChannelsLast));
}

TEST(Layers, HalfStorageIsBitIdentical) {
  NoiseSource noise(6);
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [name, shape] : std::map<std::string, std::vector<std::int64_t>>{{"conv.weight", {6, 8, 3, 3}},
                                                                                    {"conv.bias", {6}},
                                                                                    {"linear.weight", {5, 8}},
                                                                                    {"linear.bias", {5}},
                                                                                    {"table.weight", {9, 4}}}) {
    tensors[name] = noise.normal(shape).to(at::kHalf);
  }
  const auto store = std::make_shared<MemoryStore>(tensors);
  const auto outputs = [&](WeightStorage storage) {
    Weights weights(store, {.device = at::kCPU, .dtype = at::kFloat, .storage = storage});
    const Conv2d conv(weights.root() / "conv", 8, 6);
    const Linear linear(weights.root() / "linear", 8, 5);
    const Embedding table(weights.root() / "table", 9, 4);
    NoiseSource inputs(7);
    return std::vector<at::Tensor>{conv(inputs.normal({2, 8, 5, 7}), {}), linear(inputs.normal({3, 8}), {}),
                                   table(at::arange(9)), table.first(3)};
  };
  const auto stored = outputs(WeightStorage::kStored), converted = outputs(WeightStorage::kCompute);
  for (std::size_t i = 0; i < stored.size(); ++i) {
    EXPECT_EQ(stored[i].scalar_type(), at::kFloat);
    EXPECT_TRUE(stored[i].equal(converted[i])) << i;
  }
}

}  // namespace
}  // namespace easel
