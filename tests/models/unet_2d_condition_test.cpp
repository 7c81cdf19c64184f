// Against diffusers: see make_models.py and unet_cases.py.
#include "models/unet/unet_2d_condition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/text.h"
#include "support/reference_vectors.h"
#include "weights/loading/weights.h"

namespace easel {
namespace {

using nlohmann::json;
using testing::all_near;
using ::testing::HasSubstr;
using testing::ReferenceVectors;

UNet2DConditionModel make_unet(const json& config_json, std::shared_ptr<const TensorStore> store,
                               c10::ScalarType dtype = at::kFloat) {
  Config config(config_json, "unet/config.json");
  Weights weights(std::move(store), {.device = at::kCPU, .dtype = dtype});
  UNet2DConditionModel unet(UNet2DConditionConfig::from(config), weights.root());
  weights.finish();
  return unet;
}

UNetInput read_input(const ReferenceVectors& vectors, int run) {
  const auto at_run = [&](const std::string& name) { return vectors.tensor(concat(run, ".", name)); };
  UNetInput input;
  input.sample = at_run("sample");
  input.timesteps = at_run("timesteps");
  input.encoder_hidden_states = at_run("encoder_hidden_states");
  input.added_text_embeds = at_run("added_text_embeds");
  input.added_time_ids = at_run("added_time_ids");
  input.class_labels = at_run("class_labels");
  input.timestep_cond = at_run("timestep_cond");
  input.encoder_attention_mask = at_run("encoder_attention_mask");
  input.mid_block_residual = at_run("mid_block_residual");
  for (int i = 0; at_run(concat("down_block_residuals.", i)).defined(); ++i) {
    input.down_block_residuals.push_back(at_run(concat("down_block_residuals.", i)));
  }
  return input;
}

class UNetParity : public ::testing::TestWithParam<const char*> {};

TEST_P(UNetParity, EveryRunAgreesWithDiffusers) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, GetParam());
  const auto unet = make_unet(vectors.notes().at("config"), vectors.weights());
  const auto& runs = vectors.notes().at("runs");
  ASSERT_FALSE(runs.empty());
  for (int i = 0; i < static_cast<int>(runs.size()); ++i) {
    const auto output = unet(read_input(vectors, i), {});
    EXPECT_TRUE(all_near(output, vectors.tensor(concat(i, ".output")), runs[i].at("tolerance"))) << "run " << i;
  }
}

// The reference script has made sure that each of these fields changes the output.
TEST_P(UNetParity, EveryOverriddenFieldAgreesWithDiffusers) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, GetParam());
  for (const auto& override : vectors.notes().at("overrides")) {
    const auto key = override.at("key").get<std::string>();
    auto config = vectors.notes().at("config");
    config[key] = override.at("value");
    const auto output = make_unet(config, vectors.weights())(read_input(vectors, 0), {});
    EXPECT_TRUE(all_near(output, vectors.tensor("override." + key), override.at("tolerance"))) << key;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, UNetParity,
                         ::testing::Values("sd15", "sd15_inpainting", "sd21", "sdxl", "sdxl_refiner", "x4_upscaler",
                                           "k_blocks", "k_blocks_plain", "only_cross_attention", "lcm", "scale_shift",
                                           "no_mid", "plain_mid", "asymmetric", "uneven_heads", "fourier",
                                           "class_timestep", "class_identity", "class_projection", "class_concat",
                                           "added_text", "odd_width"),
                         [](const auto& test) { return std::string(test.param); });

TEST(UNet2DConditionModel, DoesNotModifyInputs) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "sdxl");
  const auto unet = make_unet(vectors.notes().at("config"), vectors.weights());
  const auto input = read_input(vectors, 2);
  auto copy = input;
  copy.sample = input.sample.contiguous(at::MemoryFormat::ChannelsLast).clone();
  copy.mid_block_residual = input.mid_block_residual.clone();
  const auto first = unet(copy, {});
  EXPECT_TRUE(copy.sample.equal(input.sample));
  EXPECT_TRUE(copy.mid_block_residual.equal(input.mid_block_residual));
  EXPECT_TRUE(unet(copy, {}).equal(first));
}

TEST(UNet2DConditionModel, RowsAreIndependentOfTheBatch) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "sd15");
  const auto unet = make_unet(vectors.notes().at("config"), vectors.weights());
  const auto all = read_input(vectors, 1);
  const auto together = unet(all, {});
  for (int row = 0; row < 3; ++row) {
    UNetInput one;
    one.sample = all.sample.narrow(0, row, 1);
    one.timesteps = all.timesteps.narrow(0, row, 1);
    one.encoder_hidden_states = all.encoder_hidden_states.narrow(0, row, 1);
    const double tolerance = vectors.notes().at("runs")[1].at("tolerance");
    EXPECT_TRUE(all_near(unet(one, {}), together.narrow(0, row, 1), tolerance)) << "row " << row;
  }
}

// Half precision has 8 bits in bfloat16 and 11 in float16; some thirty layers in a row lose a few of them.
TEST(UNet2DConditionModel, HalfPrecisionStaysNearFloat32) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "sdxl");
  const auto expected = vectors.tensor("0.output");
  const double scale = expected.abs().max().item<double>();
  for (const auto& [dtype, relative] : {std::pair{at::kBFloat16, 0.1}, std::pair{at::kHalf, 0.01}}) {
    const auto unet = make_unet(vectors.notes().at("config"), vectors.weights(), dtype);
    auto input = read_input(vectors, 0);
    input.sample = input.sample.to(dtype);
    input.encoder_hidden_states = input.encoder_hidden_states.to(dtype);
    input.added_text_embeds = input.added_text_embeds.to(dtype);
    const auto output = unet(input, {});
    EXPECT_EQ(output.scalar_type(), dtype);
    EXPECT_TRUE(all_near(output, expected, relative * scale)) << toString(dtype);
  }
}

TEST(UNet2DConditionModel, CancelsBetweenBlocks) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "sd15");
  const auto unet = make_unet(vectors.notes().at("config"), vectors.weights());
  int polls = 0;
  const StopPredicate count = [&] { return ++polls < 0; };
  unet(read_input(vectors, 0), {.stop = &count});
  // 2 layers in 4 levels down, 3 up, 2 in the middle, and a transformer in 6 of the 8, 9 of the 12 and in the middle.
  EXPECT_EQ(polls, 8 + 12 + 2 + 6 + 9 + 1);

  const StopPredicate after_five = [&, left = 5]() mutable { return left-- == 0; };
  try {
    unet(read_input(vectors, 0), {.stop = &after_five});
    FAIL() << "was not cancelled";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCancelled);
  }
}

void expect_rejected(const UNet2DConditionModel& unet, const UNetInput& input, const std::string& name) {
  try {
    unet(input, {});
    FAIL() << name << " was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), HasSubstr(name));
  }
}

TEST(UNet2DConditionModel, NamesTheMismatchedInput) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "sdxl");
  const auto unet = make_unet(vectors.notes().at("config"), vectors.weights());
  const auto good = read_input(vectors, 2);
  const auto with = [&](auto change) {
    auto input = good;
    change(input);
    return input;
  };
  expect_rejected(unet, with([](auto& i) { i.sample = i.sample.narrow(1, 0, 3); }), "sample");
  expect_rejected(unet, with([](auto& i) { i.sample = at::Tensor(); }), "sample");
  expect_rejected(unet, with([](auto& i) { i.sample = i.sample[0]; }), "sample");
  expect_rejected(unet, with([](auto& i) { i.timesteps = i.timesteps.narrow(0, 0, 1); }), "timesteps");
  expect_rejected(unet, with([](auto& i) { i.encoder_hidden_states = at::Tensor(); }), "encoder_hidden_states");
  expect_rejected(unet, with([](auto& i) { i.encoder_hidden_states = i.encoder_hidden_states.narrow(2, 0, 5); }),
                  "encoder_hidden_states");
  expect_rejected(unet, with([](auto& i) { i.encoder_attention_mask = i.timesteps.unsqueeze(1); }),
                  "encoder_attention_mask");
  expect_rejected(unet, with([](auto& i) { i.added_text_embeds = at::Tensor(); }), "added_text_embeds");
  expect_rejected(unet, with([](auto& i) { i.added_time_ids = at::Tensor(); }), "added_time_ids");
  expect_rejected(unet, with([](auto& i) { i.added_time_ids = i.added_time_ids.narrow(1, 0, 5); }),
                  "projection_class_embeddings_input_dim");
  expect_rejected(unet, with([](auto& i) { i.class_labels = i.timesteps; }), "class_labels");
  expect_rejected(unet, with([](auto& i) { i.timestep_cond = i.timesteps; }), "timestep_cond");
  expect_rejected(unet, with([](auto& i) { i.mid_block_residual = at::Tensor(); }), "mid_block_residual");
  expect_rejected(unet, with([](auto& i) { i.down_block_residuals.pop_back(); }), "down_block_residuals");
  expect_rejected(unet, with([](auto& i) { i.down_block_residuals[1] = i.down_block_residuals.back(); }),
                  "down_block_residual");
}

}  // namespace
}  // namespace easel
