#include "nn/embeddings.h"

#include <ATen/ops/arange.h>
#include <gtest/gtest.h>

#include "block_vectors.h"
#include "core/text.h"

namespace easel {
namespace {

using testing::all_near;
using testing::ReferenceVectors;

TEST(Timesteps, AgreesWithDiffusers) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "timesteps");
  for (const std::int64_t channels : {8, 9, 320}) {
    for (const bool flip : {false, true}) {
      for (const double shift : {0.0, 1.0, 0.5}) {
        const auto name = concat(channels, ".", flip, ".", shift);
        const Timesteps timesteps({.channels = channels, .flip_sin_to_cos = flip, .freq_shift = shift}, at::kCPU);
        const auto embedding = timesteps(vectors.tensor("timesteps"));
        EXPECT_TRUE(all_near(embedding, vectors.tensor(name), vectors.notes().at("tolerances").at(name))) << name;
        EXPECT_EQ(embedding.scalar_type(), at::kFloat);
      }
    }
  }
}

TEST(Timesteps, AcceptsIntegersOfAnyDtype) {
  const Timesteps timesteps({.channels = 8}, at::kCPU);
  const auto times = at::arange(0, 1000, 333);
  EXPECT_TRUE(timesteps(times).equal(timesteps(times.to(at::kFloat))));
}

TEST(TimestepEmbedding, AgreesWithDiffusers) {
  testing::BlockVectors block("timestep_embedding");
  const TimestepEmbedding embedding(block.scope(), {.in_channels = 6,
                                                    .time_embed_dim = 10,
                                                    .activation = Activation::kMish,
                                                    .post_activation = Activation::kRelu,
                                                    .cond_proj_dim = 4});
  const auto with = embedding(block.input(0), block.input(1), {});
  block.expect(with);
  EXPECT_GT(testing::largest_difference(embedding(block.input(0), /*condition=*/{}, {}), with), 0.01);
}

TEST(TextTimeEmbedding, AgreesWithDiffusers) {
  testing::BlockVectors block("text_time_embedding");
  const TextTimeEmbedding embedding(block.scope(), /*encoder_dim=*/12, /*time_embed_dim=*/10, /*heads=*/3);
  block.expect(embedding(block.input(0), {}));
}

}  // namespace
}  // namespace easel
