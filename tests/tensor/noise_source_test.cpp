#include <ATen/Functions.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "easel/noise.h"

namespace easel {
namespace {

TEST(NoiseSource, MatchesTorchGenerator) {
  std::ifstream file(EASEL_REFERENCE_DIR "/noise.json");
  const auto cases = nlohmann::json::parse(file);
  ASSERT_GE(cases.size(), 9u);
  for (const auto& c : cases) {
    NoiseSource noise(std::stoull(c.at("seed").get<std::string>()));
    for (const auto& draw : c.at("draws")) {
      const auto shape = draw.at("shape").get<std::vector<std::int64_t>>();
      const auto want = at::tensor(draw.at("values").get<std::vector<float>>()).reshape(shape);
      const auto found = noise.normal(shape);
      EXPECT_EQ(found.scalar_type(), at::kFloat);
      EXPECT_TRUE(at::equal(found, want)) << "seed " << c.at("seed");
    }
  }
}

TEST(NoiseSource, CopyContinuesIndependently) {
  NoiseSource noise(7);
  noise.normal({1, 4, 8, 8});
  NoiseSource copy = noise;
  const auto next = noise.normal({20});
  EXPECT_TRUE(at::equal(copy.normal({20}), next));
  EXPECT_FALSE(at::equal(noise.normal({20}), next));
  copy = noise;
  EXPECT_TRUE(at::equal(copy.normal({20}), noise.normal({20})));
}

TEST(NoiseSource, WindowIsACropOfTheFullNoise) {
  NoiseSource noise(7);
  noise.normal({20});
  auto part = noise.through({.full_height = 8, .full_width = 12, .top = 2, .left = 5});
  for (int draw = 0; draw < 3; ++draw) {
    const auto whole = noise.normal({1, 4, 8, 12});
    EXPECT_TRUE(at::equal(NoiseSource(part).normal({1, 4, 6, 4}), whole.narrow(2, 2, 6).narrow(3, 5, 4)));
    EXPECT_TRUE(at::equal(part.normal({1, 4, 6, 4}), whole.narrow(2, 2, 6).narrow(3, 5, 4)));
  }
  EXPECT_THROW(part.normal({1, 4, 8, 4}), c10::Error) << "it would reach beyond the image";
}

TEST(NoiseSource, HalfPrecisionIsRoundedFloat32Noise) {
  NoiseSource a(3), b(3);
  const auto half = a.normal_like(at::empty({1, 4, 8, 8}, at::kHalf));
  EXPECT_TRUE(at::equal(half, b.normal({1, 4, 8, 8}).to(at::kHalf)));
}

}  // namespace
}  // namespace easel
