// Against diffusers: see make_transformers.py.
#include "models/transformers/z_image_transformer_2d.h"

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

ZImageTransformer2DModel make_z_image(const ReferenceVectors& vectors, c10::ScalarType dtype = at::kFloat) {
  Config config(vectors.notes().at("config"), "transformer/config.json");
  Weights weights(vectors.weights(), {.device = at::kCPU, .dtype = dtype});
  ZImageTransformer2DModel model(ZImageTransformer2DConfig::from(config), weights.root());
  weights.finish();
  return model;
}

ZImageInput input_of(const ReferenceVectors& vectors) {
  return {.sample = vectors.tensor("sample"),
          .timesteps = vectors.tensor("timesteps"),
          .prompt_embeds = vectors.tensor("prompt_embeds"),
          .prompt_lengths = vectors.notes().at("lengths").get<std::vector<std::int64_t>>()};
}

/// Row i by itself, with the tokens of its own prompt only.
ZImageInput row_of(const ZImageInput& input, std::int64_t i) {
  const auto length = input.prompt_lengths[static_cast<std::size_t>(i)];
  return {.sample = input.sample.narrow(0, i, 1),
          .timesteps = input.timesteps.narrow(0, i, 1),
          .prompt_embeds = input.prompt_embeds.narrow(0, i, 1).narrow(1, 0, length),
          .prompt_lengths = {length}};
}

class ZImageParity : public ::testing::TestWithParam<const char*> {};

TEST_P(ZImageParity, RowsAgreeWithDiffusersTogetherAndAlone) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, GetParam());
  const auto model = make_z_image(vectors);
  const auto input = input_of(vectors);
  const auto expected = vectors.tensor("output");
  const double tolerance = vectors.notes().at("tolerance");
  EXPECT_TRUE(all_near(model(input, {}), expected, tolerance));
  for (std::int64_t i = 0; i < expected.size(0); ++i) {
    EXPECT_TRUE(all_near(model(row_of(input, i), {}), expected.narrow(0, i, 1), tolerance)) << "row " << i;
  }
}

TEST_P(ZImageParity, PromptsAreReadOnce) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, GetParam());
  const auto model = make_z_image(vectors);
  const auto input = input_of(vectors);
  // The captions' embedding, and their blocks: four products of attention and three of the feed-forward network each.
  const std::int64_t kept = 1 + 7 * model.config().n_refiner_layers;
  testing::expect_prompts_are_read_once(model, input, kept, vectors.notes().at("tolerance"));
}

INSTANTIATE_TEST_SUITE_P(Cases, ZImageParity, ::testing::Values("z_image", "z_image_whole"),
                         [](const auto& test) { return std::string(test.param); });

TEST(ZImageTransformer2DModel, HalfPrecisionStaysNearFloat32) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "z_image");
  const auto expected = vectors.tensor("output");
  for (const auto& [dtype, relative] : {std::pair{at::kBFloat16, 0.1}, std::pair{at::kHalf, 0.01}}) {
    auto input = input_of(vectors);
    input.sample = input.sample.to(dtype);
    input.prompt_embeds = input.prompt_embeds.to(dtype);
    const auto out = make_z_image(vectors, dtype)(input, {});
    EXPECT_EQ(out.scalar_type(), dtype);
    EXPECT_TRUE(all_near(out, expected, relative * expected.abs().max().item<double>())) << toString(dtype);
  }
}

TEST(ZImageTransformer2DModel, RejectsWhatDoesNotFit) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "z_image");
  const auto model = make_z_image(vectors);
  const auto with = [&](auto change) {
    auto input = input_of(vectors);
    change(input);
    return message_of([&] { model(input, {}); });
  };
  using ::testing::HasSubstr;
  EXPECT_THAT(with([](ZImageInput& i) { i.sample = i.sample.narrow(3, 0, 19); }), HasSubstr("`sample`"));
  EXPECT_THAT(with([](ZImageInput& i) { i.sample = i.sample.narrow(1, 0, 3); }), HasSubstr("`sample`"));
  EXPECT_THAT(with([](ZImageInput& i) { i.sample = i.sample.repeat({1, 1, 1, 2}); }), HasSubstr("16x16 patches"));
  EXPECT_THAT(with([](ZImageInput& i) { i.prompt_lengths.pop_back(); }), HasSubstr("prompts"));
  EXPECT_THAT(with([](ZImageInput& i) { i.prompt_lengths[0] = 0; }), HasSubstr("`prompt_lengths`"));
  EXPECT_THAT(with([](ZImageInput& i) { i.prompt_lengths[0] = 41; }), HasSubstr("`prompt_lengths`"));
  EXPECT_THAT(with([](ZImageInput& i) {
                i.prompt_embeds = i.prompt_embeds.repeat({1, 4, 1});
                i.prompt_lengths[1] = 100;
              }),
              HasSubstr("128 text positions"));
}

TEST(ZImageTransformer2DModel, UnsupportedFieldsAreNamed) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "z_image");
  const std::pair<const char*, json> changes[] = {
      {"all_patch_size", {2, 4}}, {"all_f_patch_size", {2}},  {"siglip_feat_dim", 1152}, {"axes_dims", {8, 12, 10}},
      {"axes_dims", {8, 24}},     {"axes_dims", {7, 13, 12}}, {"axes_lens", {128, 16}},  {"unheard_of", 1}};
  for (const auto& [key, value] : changes) {
    auto fields = vectors.notes().at("config");
    fields[key] = value;
    Config config(fields, "config.json");
    EXPECT_THAT(message_of([&] { ZImageTransformer2DConfig::from(config); }), ::testing::HasSubstr(key));
  }
}

TEST(ZImageTransformer2DModel, CanBeCancelledBetweenBlocks) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "z_image");
  const auto model = make_z_image(vectors);
  int polls = 0;
  const StopPredicate last = [&] { return ++polls == 6; };
  EXPECT_THROW(model(input_of(vectors), {.stop = &last}), Error);
  EXPECT_EQ(polls, 6) << "two blocks for the image, two for the caption, two for both";
}

}  // namespace
}  // namespace easel
