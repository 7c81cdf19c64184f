// The models of FLUX.2 klein against diffusers and transformers: see make_flux2_models.py.
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/text.h"
#include "models/autoencoders/autoencoder_kl.h"
#include "models/text_encoders/qwen3_text_model.h"
#include "models/transformers/flux2_transformer_2d.h"
#include "support/message_of.h"
#include "support/reference_vectors.h"
#include "weights/loading/weights.h"

namespace easel {
namespace {

using nlohmann::json;
using testing::all_near;
using testing::ReferenceVectors;

Flux2Transformer2DModel make_flux2(const ReferenceVectors& vectors, c10::ScalarType dtype = at::kFloat) {
  Config config(vectors.notes().at("config"), "transformer/config.json");
  Weights weights(vectors.weights(), {.device = at::kCPU, .dtype = dtype});
  Flux2Transformer2DModel model(Flux2Transformer2DConfig::from(config), weights.root());
  weights.finish();
  return model;
}

Flux2Input flux2_input(const ReferenceVectors& vectors, std::int64_t references) {
  Flux2Input input{.sample = vectors.tensor("sample"),
                   .timesteps = vectors.tensor("timesteps"),
                   .prompt_embeds = vectors.tensor("prompt_embeds")};
  for (std::int64_t i = 0; i < references; ++i) input.references.push_back(vectors.tensor(concat("reference.", i)));
  return input;
}

Flux2Input flux2_row(Flux2Input input, std::int64_t i) {
  for (auto* tensor : {&input.sample, &input.timesteps, &input.prompt_embeds}) *tensor = tensor->narrow(0, i, 1);
  for (auto& reference : input.references) reference = reference.narrow(0, i, 1);
  return input;
}

class Flux2Parity : public ::testing::TestWithParam<std::pair<const char*, std::int64_t>> {};

TEST_P(Flux2Parity, RowsAgreeWithDiffusersTogetherAndAlone) {
  const auto& [name, references] = GetParam();
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, name);
  const auto model = make_flux2(vectors);
  const auto input = flux2_input(vectors, references);
  const auto expected = vectors.tensor("output");
  const double tolerance = vectors.notes().at("tolerance");
  EXPECT_TRUE(all_near(model(input, {}), expected, tolerance));
  for (std::int64_t i = 0; i < expected.size(0); ++i) {
    EXPECT_TRUE(all_near(model(flux2_row(input, i), {}), expected.narrow(0, i, 1), tolerance)) << "row " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, Flux2Parity,
                         ::testing::Values(std::pair{"flux2", std::int64_t{0}},
                                           std::pair{"flux2_references", std::int64_t{2}}),
                         [](const auto& test) { return std::string(test.param.first); });

TEST(Flux2Transformer2DModel, HalfPrecisionStaysNearFloat32) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "flux2_references");
  auto wide = flux2_input(vectors, 2);
  wide.timesteps = at::tensor({0.5f, 0.128f});  // times 1000, exact in these dtypes
  const auto expected = make_flux2(vectors)(wide, {});
  for (const auto& [dtype, relative] : {std::pair{at::kBFloat16, 0.1}, std::pair{at::kHalf, 0.01}}) {
    auto input = wide;
    for (auto* tensor : {&input.sample, &input.timesteps, &input.prompt_embeds}) *tensor = tensor->to(dtype);
    for (auto& reference : input.references) reference = reference.to(dtype);
    const auto out = make_flux2(vectors, dtype)(input, {});
    EXPECT_EQ(out.scalar_type(), dtype);
    EXPECT_TRUE(all_near(out, expected, relative * expected.abs().max().item<double>())) << toString(dtype);
  }
}

TEST(Flux2Transformer2DModel, RejectsWhatDoesNotFit) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "flux2_references");
  const auto model = make_flux2(vectors);
  const auto with = [&](auto change) {
    auto input = flux2_input(vectors, 2);
    change(input);
    return message_of([&] { model(input, {}); });
  };
  using ::testing::HasSubstr;
  EXPECT_THAT(with([](Flux2Input& i) { i.sample = i.sample.narrow(1, 0, 8); }), HasSubstr("`sample`"));
  EXPECT_THAT(with([](Flux2Input& i) { i.references[1] = i.references[1].narrow(0, 0, 1); }),
              HasSubstr("`references`"));
  EXPECT_THAT(with([](Flux2Input& i) { i.prompt_embeds = i.prompt_embeds.narrow(2, 0, 19); }),
              HasSubstr("`prompt_embeds`"));
}

TEST(Flux2Transformer2DModel, UnsupportedFieldsAreNamed) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "flux2");
  const std::pair<const char*, json> changes[] = {{"patch_size", 2},
                                                  {"guidance_embeds", true},
                                                  {"guidance_embeds", nullptr},
                                                  {"out_channels", 64},
                                                  {"mlp_ratio", 0.0},
                                                  {"axes_dims_rope", {8, 12, 12}},
                                                  {"axes_dims_rope", {4, 8, 12, 10}},
                                                  {"axes_dims_rope", {5, 7, 12, 8}},
                                                  {"unheard_of", 1}};
  for (const auto& [key, value] : changes) {
    auto fields = vectors.notes().at("config");
    fields[key] = value;
    Config config(fields, "config.json");
    EXPECT_THAT(message_of([&] { Flux2Transformer2DConfig::from(config); }), ::testing::HasSubstr(key));
  }
}

TEST(Flux2Transformer2DModel, CanBeCancelledBetweenBlocks) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "flux2");
  const auto model = make_flux2(vectors);
  int polls = 0;
  const StopPredicate last = [&] { return ++polls == 4; };
  EXPECT_THROW(model(flux2_input(vectors, 0), {.stop = &last}), Error);
  EXPECT_EQ(polls, 4) << "two blocks of either kind";
}

TEST(AutoencoderKLFlux2, AgreesWithDiffusers) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "flux2_vae");
  Config config(vectors.notes().at("config"), "vae/config.json");
  Weights weights(vectors.weights(), {.device = at::kCPU, .dtype = at::kFloat});
  const AutoencoderKL vae(AutoencoderKLConfig::from(config), weights.root());
  weights.finish();
  EXPECT_EQ(vae.config().patch_channels(), 12);
  const auto expect_near = [&](const at::Tensor& found, const char* name) {
    EXPECT_TRUE(all_near(found, vectors.tensor(name), vectors.notes().at("tolerances").at(name))) << name;
  };
  const auto mode = vae.encode(vectors.tensor("pixels"), {}).mean;
  expect_near(mode, "mode");
  expect_near(vae.to_patches(mode), "patches");
  const auto z = vae.from_patches(vectors.tensor("latents"));
  expect_near(z, "z");
  expect_near(vae.decode(z, {}), "decoded");
}

TEST(AutoencoderKLFlux2, FieldsThatDoNotFitAreNamed) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "flux2_vae");
  const std::pair<const char*, json> changes[] = {{"patch_size", {1, 1}},
                                                  {"batch_norm_eps", -1.0},
                                                  {"decoder_block_out_channels", {16}},
                                                  {"decoder_block_out_channels", {16, 20}}};
  for (const auto& [key, value] : changes) {
    auto fields = vectors.notes().at("config");
    fields[key] = value;
    Config config(fields, "config.json");
    const auto message = message_of([&] { AutoencoderKLConfig::from(config); });
    EXPECT_THAT(message, ::testing::AnyOf(::testing::HasSubstr(key), ::testing::HasSubstr("block_out_channels")));
  }
  Config empty(json{{"_class_name", "AutoencoderKLFlux2"}}, "config.json");
  const auto published = AutoencoderKLConfig::from(empty);
  EXPECT_EQ(published.patch_channels(), 128);
  EXPECT_EQ(published.scale(), 8);
}

TEST(Qwen3TextModel, PaddingSeesTheTokensBeforeItAndNotItself) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "qwen3_padded");
  Config config(vectors.notes().at("config"), "text_encoder/config.json");
  Weights weights(vectors.weights(), {.device = at::kCPU, .dtype = at::kFloat});
  const Qwen3TextModel model(Qwen3TextConfig::from(config), 3, weights.root());
  weights.finish();
  const std::vector<std::int64_t> wanted{1, 3};
  const std::int64_t length = vectors.notes().at("length");
  const auto found = model(vectors.tensor("input_ids"), wanted, {}, length);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const auto name = concat("hidden_state.", wanted[i]);
    EXPECT_TRUE(all_near(found[i], vectors.tensor(name), vectors.notes().at("tolerances").at(name))) << name;
  }
  EXPECT_THROW(model(vectors.tensor("input_ids"), wanted, {}, 0), Error);
  EXPECT_THROW(model(vectors.tensor("input_ids"), wanted, {}, 11), Error);
}

}  // namespace
}  // namespace easel
