// Against diffusers: see make_flux_models.py.
#include "models/transformers/flux_transformer_2d.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/isfinite.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/message_of.h"
#include "support/reference_vectors.h"
#include "weights/loading/weights.h"
#include "weights/stores/memory_store.h"

namespace easel {
namespace {

using nlohmann::json;
using testing::all_near;
using testing::ReferenceVectors;

FluxTransformer2DModel make_flux(const json& config_json, std::shared_ptr<const TensorStore> store,
                                 c10::ScalarType dtype) {
  Config config(config_json, "transformer/config.json");
  Weights weights(std::move(store), {.device = at::kCPU, .dtype = dtype});
  FluxTransformer2DModel model(FluxTransformer2DConfig::from(config), weights.root());
  weights.finish();
  return model;
}

FluxTransformer2DModel make_flux(const ReferenceVectors& vectors, c10::ScalarType dtype = at::kFloat) {
  return make_flux(vectors.notes().at("config"), vectors.weights(), dtype);
}

FluxInput input_of(const ReferenceVectors& vectors) {
  return {.sample = vectors.tensor("sample"),
          .timesteps = vectors.tensor("timesteps"),
          .guidance = vectors.tensor("guidance"),
          .prompt_embeds = vectors.tensor("prompt_embeds"),
          .pooled_prompt = vectors.tensor("pooled_prompt"),
          .reference = vectors.tensor("reference")};
}

FluxInput row_of(const FluxInput& input, std::int64_t i) {
  const auto row = [&](const at::Tensor& all) { return all.defined() ? all.narrow(0, i, 1) : all; };
  return {.sample = row(input.sample),
          .timesteps = row(input.timesteps),
          .guidance = row(input.guidance),
          .prompt_embeds = row(input.prompt_embeds),
          .pooled_prompt = row(input.pooled_prompt),
          .reference = row(input.reference)};
}

class FluxParity : public ::testing::TestWithParam<const char*> {};

TEST_P(FluxParity, RowsAgreeWithDiffusersTogetherAndAlone) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, GetParam());
  const auto model = make_flux(vectors);
  const auto input = input_of(vectors);
  const auto expected = vectors.tensor("output");
  const double tolerance = vectors.notes().at("tolerance");
  EXPECT_TRUE(all_near(model(input, {}), expected, tolerance));
  for (std::int64_t i = 0; i < expected.size(0); ++i) {
    EXPECT_TRUE(all_near(model(row_of(input, i), {}), expected.narrow(0, i, 1), tolerance)) << "row " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, FluxParity, ::testing::Values("flux", "flux_guidance", "flux_reference"),
                         [](const auto& test) { return std::string(test.param); });

TEST(FluxTransformer2DModel, HalfPrecisionStaysNearTheReferencesOwn) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "flux_guidance");
  for (const auto& [dtype, name] : {std::pair{at::kBFloat16, "bfloat16"}, std::pair{at::kHalf, "float16"}}) {
    const auto expected = vectors.tensor(name);
    auto input = input_of(vectors);
    for (auto* tensor : {&input.sample, &input.prompt_embeds, &input.pooled_prompt}) *tensor = tensor->to(dtype);
    const auto out = make_flux(vectors, dtype)(input, {});
    EXPECT_EQ(out.scalar_type(), dtype);
    // No further from it than it is from float32. Timesteps are rounded, which the sinusoids of thousands show.
    EXPECT_TRUE(all_near(out, expected, testing::largest_difference(expected, vectors.tensor("output")))) << name;
  }
}

TEST(FluxTransformer2DModel, InfinitiesOfFloat16AreCutToItsRange) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "flux_guidance");
  std::map<std::string, at::Tensor> tensors;
  for (const auto& name : vectors.weights()->names()) tensors[name] = vectors.weights()->read(name);
  for (const char* layer :
       {"transformer_blocks.0.ff_context.net.2.weight", "single_transformer_blocks.0.proj_out.weight"}) {
    tensors.at(layer) = tensors.at(layer) * 1e5;
  }
  auto input = input_of(vectors);
  for (auto* tensor : {&input.sample, &input.prompt_embeds, &input.pooled_prompt}) *tensor = tensor->to(at::kHalf);
  const auto model = make_flux(vectors.notes().at("config"), std::make_shared<MemoryStore>(tensors), at::kHalf);
  EXPECT_TRUE(at::isfinite(model(input, {})).all().item<bool>());
}

TEST(FluxTransformer2DModel, RejectsWhatDoesNotFit) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "flux_reference");
  const auto model = make_flux(vectors);
  const auto with = [&](auto change) {
    auto input = input_of(vectors);
    change(input);
    return message_of([&] { model(input, {}); });
  };
  using ::testing::HasSubstr;
  EXPECT_THAT(with([](FluxInput& i) { i.sample = i.sample.narrow(3, 0, 9); }), HasSubstr("`sample`"));
  EXPECT_THAT(with([](FluxInput& i) { i.sample = i.sample.narrow(1, 0, 3); }), HasSubstr("`sample`"));
  EXPECT_THAT(with([](FluxInput& i) { i.reference = i.reference.narrow(0, 0, 1); }), HasSubstr("`reference`"));
  EXPECT_THAT(with([](FluxInput& i) { i.prompt_embeds = i.prompt_embeds.narrow(0, 0, 2); }), HasSubstr("prompts"));
  EXPECT_THAT(with([](FluxInput& i) { i.guidance = at::Tensor(); }), HasSubstr("`guidance` is missing"));
}

TEST(FluxTransformer2DModel, UnsupportedFieldsAreNamed) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "flux");
  const std::pair<const char*, json> changes[] = {{"patch_size", 2},          {"in_channels", 18},
                                                  {"out_channels", 32},       {"axes_dims_rope", {4, 8, 14}},
                                                  {"axes_dims_rope", {4, 8}}, {"axes_dims_rope", {5, 7, 12}},
                                                  {"unheard_of", 1}};
  for (const auto& [key, value] : changes) {
    auto fields = vectors.notes().at("config");
    fields[key] = value;
    Config config(fields, "config.json");
    EXPECT_THAT(message_of([&] { FluxTransformer2DConfig::from(config); }), ::testing::HasSubstr(key));
  }
}

TEST(FluxTransformer2DModel, CanBeCancelledBetweenBlocks) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "flux");
  const auto model = make_flux(vectors);
  int polls = 0;
  const StopPredicate last = [&] { return ++polls == 4; };
  EXPECT_THROW(model(input_of(vectors), {.stop = &last}), Error);
  EXPECT_EQ(polls, 4) << "two blocks over two streams, two over one";
}

}  // namespace
}  // namespace easel
