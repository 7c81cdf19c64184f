// What language models and the transformers that follow them are built of, against diffusers and transformers.
#include "nn/transformer/rotary.h"

#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include <array>

#include "nn/block_vectors.h"
#include "nn/transformer/gated_mlp.h"
#include "nn/transformer/rms_norm.h"

namespace easel {
namespace {

using testing::all_near;

// Sines and cosines of angles below 40, whose spacing in float32 is 4e-6, times numbers of about 3.
constexpr double kRotaryTolerance = 2e-5;

TEST(RmsNorm, AgreesWithDiffusers) {
  testing::BlockVectors block("rms_norm");
  const RmsNorm norm(block.scope(), 12, 0.3);
  block.expect(norm(block.input(0)));
}

TEST(GatedMlp, AgreesWithDiffusers) {
  testing::BlockVectors block("gated_mlp");
  const GatedMlp mlp(block.scope(), {.gate = "w1", .up = "w3", .down = "w2"}, 12, 20);
  block.expect(mlp(block.input(0), {}));
}

TEST(Rotary, PairsOfSeveralAxesAgreeWithDiffusers) {
  const testing::ReferenceVectors vectors(EASEL_REFERENCE_DIR, "rotary");
  constexpr std::array<std::int64_t, 3> kAxes{4, 6, 10};
  const auto table = axes_rotary_table(vectors.tensor("positions").unsqueeze(0), kAxes, 256.0);
  EXPECT_EQ(table.cos.sizes(), (at::IntArrayRef{1, 7, 10}));
  EXPECT_TRUE(all_near(rotate_pairs(vectors.tensor("x"), table), vectors.tensor("pairs"), kRotaryTolerance));
}

TEST(Rotary, HalvesAgreeWithTransformers) {
  const testing::ReferenceVectors vectors(EASEL_REFERENCE_DIR, "rotary");
  const auto table = text_rotary_table(7, 20, 900.0, at::kCPU);
  EXPECT_TRUE(all_near(rotate_halves(vectors.tensor("x"), table), vectors.tensor("halves"), kRotaryTolerance));
}

TEST(Rotary, PairsKeepTheDtypeAndAreTurnedInFloat32) {
  const testing::ReferenceVectors vectors(EASEL_REFERENCE_DIR, "rotary");
  constexpr std::array<std::int64_t, 3> kAxes{4, 6, 10};
  const auto table = axes_rotary_table(vectors.tensor("positions").unsqueeze(0), kAxes, 256.0);
  const auto x = vectors.tensor("x").to(at::kBFloat16);
  const auto turned = rotate_pairs(x, table);
  EXPECT_EQ(turned.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(turned.equal(rotate_pairs(x.to(at::kFloat), table).to(at::kBFloat16)));
}

}  // namespace
}  // namespace easel
