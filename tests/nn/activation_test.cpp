#include "nn/activation.h"

#include <gtest/gtest.h>

#include "support/reference_vectors.h"

namespace easel {
namespace {

using testing::ReferenceVectors;

TEST(Activation, AgreesWithTorch) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "activations");
  const auto x = vectors.tensor("x");
  for (const auto& [activation, name] : {std::pair{Activation::kSilu, "silu"},
                                         {Activation::kGelu, "gelu"},
                                         {Activation::kMish, "mish"},
                                         {Activation::kRelu, "relu"},
                                         {Activation::kQuickGelu, "quick_gelu"}}) {
    const auto before = x.clone();
    const auto out = activate(activation, x);
    // Kernels with other vector widths may round the last bit otherwise.
    EXPECT_TRUE(testing::all_near(out, vectors.tensor(name), 2e-6)) << name;
    EXPECT_TRUE(x.equal(before)) << name;
    EXPECT_TRUE(activate_in_place(activation, x.clone()).equal(out)) << name;
  }
}

TEST(Activation, HasDiffusersNames) {
  EXPECT_EQ(parse_activation("silu"), Activation::kSilu);
  EXPECT_EQ(parse_activation("Swish"), Activation::kSilu);
  EXPECT_EQ(parse_activation("gelu"), Activation::kGelu);
  EXPECT_EQ(parse_activation("MISH"), Activation::kMish);
  EXPECT_EQ(parse_activation("relu"), Activation::kRelu);
  EXPECT_EQ(parse_activation("quick_gelu"), std::nullopt);
  EXPECT_EQ(parse_activation(""), std::nullopt);
}

}  // namespace
}  // namespace easel
