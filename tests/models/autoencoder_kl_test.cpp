// Against diffusers: see make_models.py.
#include "models/autoencoders/autoencoder_kl.h"

#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include <cmath>

#include "support/reference_vectors.h"
#include "weights/loading/weights.h"

namespace easel {
namespace {

using nlohmann::json;
using testing::all_near;
using testing::ReferenceVectors;

AutoencoderKL make_vae(const json& config_json, std::shared_ptr<const TensorStore> store,
                       c10::ScalarType dtype = at::kFloat) {
  Config config(config_json, "vae/config.json");
  Weights weights(std::move(store), {.device = at::kCPU, .dtype = dtype});
  AutoencoderKL vae(AutoencoderKLConfig::from(config), weights.root());
  weights.finish();
  return vae;
}

void expect_parity(const AutoencoderKL& vae, const ReferenceVectors& vectors, const std::string& prefix,
                   const json& tolerances) {
  const auto moments = vae.encode(vectors.tensor("x"), {});
  EXPECT_TRUE(all_near(moments.mean, vectors.tensor(prefix + "mean"), tolerances.at("mean"))) << prefix;
  EXPECT_TRUE(all_near(moments.logvar, vectors.tensor(prefix + "logvar"), tolerances.at("logvar"))) << prefix;
  const auto decoded = vae.decode(vectors.tensor("z"), {});
  EXPECT_TRUE(all_near(decoded, vectors.tensor(prefix + "decoded"), tolerances.at("decoded"))) << prefix;
}

class AutoencoderParity : public ::testing::TestWithParam<const char*> {};

TEST_P(AutoencoderParity, AgreesWithDiffusers) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, GetParam());
  const auto& notes = vectors.notes();
  expect_parity(make_vae(notes.at("config"), vectors.weights()), vectors, "", notes.at("tolerances"));
  for (const auto& override : notes.at("overrides")) {
    auto config = notes.at("config");
    const auto key = override.at("key").get<std::string>();
    config[key] = override.at("value");
    expect_parity(make_vae(config, vectors.weights()), vectors, "override." + key + ".", override.at("tolerances"));
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, AutoencoderParity, ::testing::Values("vae", "vae_bare"),
                         [](const auto& test) { return std::string(test.param); });

TEST(AutoencoderKL, DoesNotModifyInputs) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "vae_bare");
  const auto vae = make_vae(vectors.notes().at("config"), vectors.weights());
  const auto z = vectors.tensor("z").contiguous(at::MemoryFormat::ChannelsLast).clone();
  const auto first = vae.decode(z, {});
  EXPECT_TRUE(z.equal(vectors.tensor("z")));
  EXPECT_TRUE(vae.decode(z, {}).equal(first));
}

TEST(AutoencoderKL, HalfPrecisionStaysNearFloat32) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "vae");
  const auto expected = vectors.tensor("decoded");
  for (const auto& [dtype, relative] : {std::pair{at::kBFloat16, 0.1}, std::pair{at::kHalf, 0.01}}) {
    const auto vae = make_vae(vectors.notes().at("config"), vectors.weights(), dtype);
    const auto decoded = vae.decode(vectors.tensor("z").to(dtype), {});
    EXPECT_EQ(decoded.scalar_type(), dtype);
    EXPECT_TRUE(all_near(decoded, expected, relative * expected.abs().max().item<double>())) << toString(dtype);
  }
}

TEST(AutoencoderKL, CancelsBetweenBlocks) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "vae");
  const auto vae = make_vae(vectors.notes().at("config"), vectors.weights());
  int polls = 0;
  const StopPredicate count = [&] { return ++polls < 0; };
  vae.decode(vectors.tensor("z"), {.stop = &count});
  EXPECT_EQ(polls, 2 + 3 * 3 + 1);  // middle, three levels of three, and before the last convolution
  const StopPredicate at_once = [] { return true; };
  EXPECT_THROW(vae.decode(vectors.tensor("z"), {.stop = &at_once}), Error);
  EXPECT_THROW(vae.encode(vectors.tensor("x"), {.stop = &at_once}), Error);
}

TEST(DiagonalGaussianDistribution, SamplesAreMeanPlusScaledNoise) {
  const DiagonalGaussianDistribution moments{.mean = at::full({2}, 3.0), .logvar = at::full({2}, 2 * std::log(5.0))};
  EXPECT_TRUE(all_near(moments.sample(at::full({2}, -2.0)), at::full({2}, 3.0 - 5.0 * 2.0), 1e-5));
}

TEST(AutoencoderKLConfig, ExposesFieldsForPipelines) {
  Config config({{"block_out_channels", {32, 32, 64}},
                 {"down_block_types", {"DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"}},
                 {"up_block_types", {"UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"}},
                 {"latent_channels", 2},
                 {"scaling_factor", 0.5},
                 {"shift_factor", 0.25},
                 {"latents_mean", {1, 2}},
                 {"latents_std", {3.5, 4}},
                 {"force_upcast", false}},
                "vae/config.json");
  const auto c = AutoencoderKLConfig::from(config);
  EXPECT_EQ(c.scale(), 4);
  EXPECT_EQ(c.scaling_factor, 0.5);
  EXPECT_EQ(c.shift_factor, 0.25);
  EXPECT_EQ(c.latents_mean, (std::vector<double>{1, 2}));
  EXPECT_EQ(c.latents_std, (std::vector<double>{3.5, 4}));
  EXPECT_FALSE(c.force_upcast);
}

}  // namespace
}  // namespace easel
