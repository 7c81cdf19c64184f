#include "nn/unet/transformer_2d.h"

#include <gtest/gtest.h>

#include "block_vectors.h"

namespace easel {
namespace {

struct TransformerCase {
  const char* name;
  std::int64_t heads, layers;
  bool linear, only_cross;
};

class Transformer2DParity : public ::testing::TestWithParam<TransformerCase> {};

TEST_P(Transformer2DParity, AgreesWithDiffusers) {
  const auto& c = GetParam();
  testing::BlockVectors block(c.name);
  const Transformer2DModel transformer(block.scope(),
                                       {.channels = 12,
                                        .heads = c.heads,
                                        .cross_attention_dim = 10,
                                        .norm_num_groups = 4,
                                        .use_linear_projection = c.linear,
                                        .only_cross_attention = c.only_cross},
                                       c.layers);
  block.expect(transformer(block.input(0), {.encoder_hidden_states = block.input(1), .bias = {}}, {}));
}

INSTANTIATE_TEST_SUITE_P(Cases, Transformer2DParity,
                         ::testing::Values(TransformerCase{"transformer_conv", 3, 1, false, false},
                                           TransformerCase{"transformer_linear", 2, 2, true, false},
                                           TransformerCase{"transformer_only_cross", 3, 1, false, true},
                                           TransformerCase{"transformer_uneven", 5, 1, true, false}),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(FeedForward, AgreesWithDiffusers) {
  testing::BlockVectors block("feed_forward");
  const FeedForward feed_forward(block.scope(), 12);
  block.expect(feed_forward(block.input(0), {}));
}

}  // namespace
}  // namespace easel
