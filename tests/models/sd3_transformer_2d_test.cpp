// Against diffusers: see make_transformers.py.
#include "models/transformers/sd3_transformer_2d.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/message_of.h"
#include "support/reference_vectors.h"
#include "weights/loading/weights.h"

namespace easel {
namespace {

using nlohmann::json;
using testing::all_near;
using testing::ReferenceVectors;

SD3Transformer2DModel make_sd3(const ReferenceVectors& vectors, c10::ScalarType dtype = at::kFloat) {
  Config config(vectors.notes().at("config"), "transformer/config.json");
  Weights weights(vectors.weights(), {.device = at::kCPU, .dtype = dtype});
  SD3Transformer2DModel model(SD3Transformer2DConfig::from(config), weights.root());
  weights.finish();
  return model;
}

SD3Input sd3_input(const ReferenceVectors& vectors, c10::ScalarType dtype = at::kFloat) {
  return {.sample = vectors.tensor("hidden_states").to(dtype),
          .timesteps = vectors.tensor("timestep"),
          .prompt_embeds = vectors.tensor("encoder_hidden_states").to(dtype),
          .pooled_projections = vectors.tensor("pooled_projections").to(dtype)};
}

class Sd3Parity : public ::testing::TestWithParam<const char*> {};

TEST_P(Sd3Parity, RowsAgreeWithDiffusersTogetherAndAlone) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, GetParam());
  const auto model = make_sd3(vectors);
  const auto input = sd3_input(vectors);
  const auto expected = vectors.tensor("output");
  const double tolerance = vectors.notes().at("tolerance");
  EXPECT_TRUE(all_near(model(input, {}), expected, tolerance));
  for (std::int64_t i = 0; i < expected.size(0); ++i) {
    const SD3Input row{.sample = input.sample.narrow(0, i, 1),
                       .timesteps = input.timesteps.narrow(0, i, 1),
                       .prompt_embeds = input.prompt_embeds.narrow(0, i, 1),
                       .pooled_projections = input.pooled_projections.narrow(0, i, 1)};
    EXPECT_TRUE(all_near(model(row, {}), expected.narrow(0, i, 1), tolerance)) << "row " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, Sd3Parity, ::testing::Values("sd3", "sd35"),
                         [](const auto& test) { return std::string(test.param); });

TEST(SD3Transformer2DModel, HalfPrecisionStaysNearFloat32) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "sd35");
  const auto expected = vectors.tensor("output");
  for (const auto& [dtype, relative] : {std::pair{at::kBFloat16, 0.1}, std::pair{at::kHalf, 0.01}}) {
    const auto out = make_sd3(vectors, dtype)(sd3_input(vectors, dtype), {});
    EXPECT_EQ(out.scalar_type(), dtype);
    EXPECT_TRUE(all_near(out, expected, relative * expected.abs().max().item<double>())) << toString(dtype);
  }
}

TEST(SD3Transformer2DModel, RejectsWhatDoesNotFit) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "sd3");
  const auto model = make_sd3(vectors);
  const auto with = [&](auto change) {
    auto input = sd3_input(vectors);
    change(input);
    return message_of([&] { model(input, {}); });
  };
  using ::testing::HasSubstr;
  EXPECT_THAT(with([](SD3Input& i) { i.sample = i.sample.narrow(3, 0, 17); }), HasSubstr("whole patches"));
  EXPECT_THAT(with([](SD3Input& i) { i.sample = i.sample.narrow(1, 0, 4); }), HasSubstr("6 channels"));
  EXPECT_THAT(with([](SD3Input& i) { i.sample = i.sample.repeat({1, 1, 2, 1}); }), HasSubstr("11x11 patches"));
  EXPECT_THAT(with([](SD3Input& i) { i.prompt_embeds = i.prompt_embeds.narrow(0, 0, 1); }),
              HasSubstr("`prompt_embeds`"));
  EXPECT_THAT(with([](SD3Input& i) { i.pooled_projections = at::Tensor(); }), HasSubstr("`pooled_projections`"));
}

TEST(SD3Transformer2DModel, UnsupportedFieldsAreNamed) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "sd3");
  const std::pair<const char*, json> changes[] = {{"qk_norm", "layer_norm"},
                                                  {"dual_attention_layers", {0, 3}},
                                                  {"caption_projection_dim", 64},
                                                  {"pos_embed_max_size", 0},
                                                  {"patch_size", 0},
                                                  {"num_layers", 0},
                                                  {"joint_attention_dim", 1e300},
                                                  {"unheard_of", 1}};
  for (const auto& [key, value] : changes) {
    auto fields = vectors.notes().at("config");
    fields[key] = value;
    Config config(fields, "config.json");
    EXPECT_THAT(message_of([&] { SD3Transformer2DConfig::from(config); }), ::testing::HasSubstr(key));
  }
}

TEST(SD3Transformer2DModel, CanBeCancelledBetweenBlocks) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "sd3");
  const auto model = make_sd3(vectors);
  int polls = 0;
  const StopPredicate last = [&] { return ++polls == 3; };
  EXPECT_THROW(model(sd3_input(vectors), {.stop = &last}), Error);
  EXPECT_EQ(polls, 3);
}

}  // namespace
}  // namespace easel
