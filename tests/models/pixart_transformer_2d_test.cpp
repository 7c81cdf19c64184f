// Against diffusers: see make_transformers.py.
#include "models/transformers/pixart_transformer_2d.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/prompts_read_once.h"
#include "support/message_of.h"
#include "support/reference_vectors.h"
#include "weights/loading/weights.h"

namespace easel {
namespace {

using nlohmann::json;
using testing::all_near;
using testing::ReferenceVectors;

PixArtTransformer2DModel make_pixart(const ReferenceVectors& vectors, c10::ScalarType dtype = at::kFloat) {
  Config config(vectors.notes().at("config"), "transformer/config.json");
  Weights weights(vectors.weights(), {.device = at::kCPU, .dtype = dtype});
  PixArtTransformer2DModel model(PixArtTransformer2DConfig::from(config), weights.root());
  weights.finish();
  return model;
}

PixArtInput pixart_input(const ReferenceVectors& vectors, c10::ScalarType dtype = at::kFloat) {
  return {.sample = vectors.tensor("hidden_states").to(dtype),
          .timesteps = vectors.tensor("timestep").to(at::kFloat),
          .prompt_embeds = vectors.tensor("encoder_hidden_states").to(dtype),
          .prompt_lengths = vectors.notes().at("lengths").get<std::vector<std::int64_t>>()};
}

class PixArtParity : public ::testing::TestWithParam<const char*> {};

TEST_P(PixArtParity, RowsAgreeWithDiffusersTogetherAndAlone) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, GetParam());
  const auto model = make_pixart(vectors);
  const auto input = pixart_input(vectors);
  const auto expected = vectors.tensor("output");
  const double tolerance = vectors.notes().at("tolerance");
  EXPECT_TRUE(all_near(model(input, {}), expected, tolerance));
  for (std::int64_t i = 0; i < expected.size(0); ++i) {
    const auto length = input.prompt_lengths[static_cast<std::size_t>(i)];
    const PixArtInput row{.sample = input.sample.narrow(0, i, 1),
                          .timesteps = input.timesteps.narrow(0, i, 1),
                          .prompt_embeds = input.prompt_embeds.narrow(0, i, 1).narrow(1, 0, length),
                          .prompt_lengths = {length}};
    EXPECT_TRUE(all_near(model(row, {}), expected.narrow(0, i, 1), tolerance)) << "row " << i;
  }
}

TEST_P(PixArtParity, PromptsAreReadOnce) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, GetParam());
  const auto model = make_pixart(vectors);
  const auto input = pixart_input(vectors);
  // The two products of the captions' projection, and keys and values of each block.
  const std::int64_t kept = 2 + 2 * model.config().num_layers;
  testing::expect_prompts_are_read_once(model, input, kept, vectors.notes().at("tolerance"));
}

INSTANTIATE_TEST_SUITE_P(Cases, PixArtParity, ::testing::Values("pixart", "pixart_native"),
                         [](const auto& test) { return std::string(test.param); });

TEST(PixArtTransformer2DModel, HalfPrecisionStaysNearFloat32) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "pixart");
  const auto expected = vectors.tensor("output");
  for (const auto& [dtype, relative] : {std::pair{at::kBFloat16, 0.1}, std::pair{at::kHalf, 0.01}}) {
    const auto out = make_pixart(vectors, dtype)(pixart_input(vectors, dtype), {});
    EXPECT_EQ(out.scalar_type(), dtype);
    EXPECT_TRUE(all_near(out, expected, relative * expected.abs().max().item<double>())) << toString(dtype);
  }
}

TEST(PixArtTransformer2DModel, RejectsWhatDoesNotFit) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "pixart");
  const auto model = make_pixart(vectors);
  const auto with = [&](auto change) {
    auto input = pixart_input(vectors);
    change(input);
    return message_of([&] { model(input, {}); });
  };
  using ::testing::HasSubstr;
  EXPECT_THAT(with([](PixArtInput& i) { i.sample = i.sample.narrow(3, 0, 19); }), HasSubstr("whole patches"));
  EXPECT_THAT(with([](PixArtInput& i) { i.sample = i.sample.narrow(1, 0, 3); }), HasSubstr("4 channels"));
  EXPECT_THAT(with([](PixArtInput& i) { i.prompt_embeds = i.prompt_embeds.narrow(2, 0, 7); }),
              HasSubstr("`prompt_embeds`"));
  EXPECT_THAT(with([](PixArtInput& i) { i.prompt_lengths.pop_back(); }), HasSubstr("`prompt_lengths`"));
  EXPECT_THAT(with([](PixArtInput& i) { i.prompt_lengths[0] = 0; }), HasSubstr("`prompt_lengths`"));
  EXPECT_THAT(with([](PixArtInput& i) { i.prompt_lengths[0] = 41; }), HasSubstr("`prompt_lengths`"));
}

TEST(PixArtTransformer2DModel, UnsupportedFieldsAreNamed) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "pixart");
  const std::pair<const char*, json> changes[] = {
      {"norm_type", "ada_norm"},           {"activation_fn", "geglu"},    {"norm_elementwise_affine", true},
      {"use_additional_conditions", true}, {"caption_channels", nullptr}, {"cross_attention_dim", 64},
      {"interpolation_scale", 0},          {"sample_size", 15},           {"unheard_of", 1}};
  for (const auto& [key, value] : changes) {
    auto fields = vectors.notes().at("config");
    fields[key] = value;
    Config config(fields, "config.json");
    EXPECT_THAT(message_of([&] { PixArtTransformer2DConfig::from(config); }), ::testing::HasSubstr(key));
  }
  // PixArt-Alpha's config does not name the field.
  auto alpha = vectors.notes().at("config");
  alpha["sample_size"] = 128;
  alpha.erase("use_additional_conditions");
  Config config(alpha, "config.json");
  EXPECT_THAT(message_of([&] { PixArtTransformer2DConfig::from(config); }),
              ::testing::HasSubstr("use_additional_conditions"));
}

TEST(PixArtTransformer2DModel, CanBeCancelledBetweenBlocks) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "pixart");
  const auto model = make_pixart(vectors);
  int polls = 0;
  const StopPredicate last = [&] { return ++polls == 2; };
  EXPECT_THROW(model(pixart_input(vectors), {.stop = &last}), Error);
  EXPECT_EQ(polls, 2);
}

}  // namespace
}  // namespace easel
