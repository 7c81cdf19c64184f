// Against diffusers: see make_models.py and unet_cases.py.
#include "models/unet/unet_2d_condition.h"

#include <ATen/ops/full_like.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/text.h"
#include "nn/prompt_projections.h"
#include "support/operator_counter.h"
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

/// A call with all rows of the input, as those of one image.
std::vector<ImageRows> one_image(const UNetInput& input) {
  const auto& prompts = input.encoder_hidden_states;
  return {{.projections = std::make_shared<PromptProjections>(), .rows = prompts.size(0), .tokens = prompts.size(1)}};
}

class UNetPrompts : public ::testing::TestWithParam<const char*> {};

TEST_P(UNetPrompts, KeysAndValuesAreComputedOnceAndChangeNoBit) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, GetParam());
  const auto unet = make_unet(vectors.notes().at("config"), vectors.weights());
  auto input = read_input(vectors, 0);
  const auto images = one_image(input);
  const auto products = [&](const RunContext& ctx) {
    const testing::OperatorCounter counter(testing::kLinear);
    unet(input, ctx);
    return counter.count();
  };
  const auto of_first_step = products({.images = &images}), of_second_step = products({.images = &images});
  const auto width = input.encoder_hidden_states.size(2);
  const auto& slots = unet.layer_table()->slots();
  const auto projections = std::ranges::count_if(slots, [&](const auto& entry) {
    const auto& [name, slot] = entry;
    return (name.ends_with(".to_k") || name.ends_with(".to_v")) && slot->shape[1] == width;
  });
  ASSERT_GT(projections, 0);
  EXPECT_EQ(of_first_step, products({}));
  EXPECT_EQ(of_second_step, of_first_step - projections);
  for (const double timestep : {900.0, 1.0}) {
    input.timesteps = at::full_like(input.timesteps, timestep);
    EXPECT_TRUE(unet(input, {.images = &images}).equal(unet(input, {}))) << timestep;
  }
}

/// Layers that read the timestep and other conditions, but neither image nor prompt.
bool reads_timesteps(const std::string& name) {
  return name.starts_with("time_embedding.") || name.starts_with("add_embedding.") ||
         name.starts_with("class_embedding.") || name.ends_with(".time_emb_proj") || name.ends_with(".norm1.linear") ||
         name.ends_with(".norm2.linear");
}

TEST_P(UNetPrompts, TimestepsAreProjectedOnceWhereTheyAreGiven) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, GetParam());
  const auto unet = make_unet(vectors.notes().at("config"), vectors.weights());
  auto input = read_input(vectors, 0);
  const double tolerance = vectors.notes().at("runs")[0].at("tolerance");
  auto images = one_image(input);
  const std::vector<float> timesteps{900, 500, 1};
  images[0].timesteps = at::tensor(timesteps);
  std::vector<std::int64_t> products;
  for (std::size_t step = 0; step < timesteps.size(); ++step) {
    input.timesteps = at::full_like(input.timesteps, timesteps[step]);
    images[0].step = static_cast<std::int64_t>(step);
    const testing::OperatorCounter counter(testing::kLinear);
    const auto output = unet(input, {.images = &images});
    products.push_back(counter.count());
    EXPECT_TRUE(all_near(output, unet(input, {}), tolerance)) << step;
  }
  const auto& slots = unet.layer_table()->slots();
  const auto kept = std::ranges::count_if(slots, [&](const auto& entry) {
    const auto& [name, slot] = entry;
    return reads_timesteps(name) || ((name.ends_with(".to_k") || name.ends_with(".to_v")) &&
                                     slot->shape[1] == input.encoder_hidden_states.size(2));
  });
  EXPECT_EQ(products[1], products[0] - kept);
  EXPECT_EQ(products[2], products[1]);
}

// In these cases no other input of attention is as wide as the prompts.
INSTANTIATE_TEST_SUITE_P(Cases, UNetPrompts, ::testing::Values("sd15", "sdxl", "k_blocks", "only_cross_attention"),
                         [](const auto& test) { return std::string(test.param); });

TEST(UNet2DConditionModel, ImagesWithPromptsOfTheirOwnShareACall) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "sd15");
  const auto unet = make_unet(vectors.notes().at("config"), vectors.weights());
  const auto all = read_input(vectors, 1);  // three rows
  const auto part = [&](std::int64_t first, std::int64_t rows) {
    UNetInput input;
    input.sample = all.sample.narrow(0, first, rows);
    input.timesteps = all.timesteps.narrow(0, first, rows);
    input.encoder_hidden_states = all.encoder_hidden_states.narrow(0, first, rows);
    return input;
  };
  const auto two = part(0, 2), one = part(2, 1);
  const auto images_of_two = one_image(two), images_of_one = one_image(one);
  unet(two, {.images = &images_of_two});  // a step before the other image joins
  std::vector<ImageRows> together{images_of_two[0], images_of_one[0]};
  const double tolerance = vectors.notes().at("runs")[1].at("tolerance");
  for (int step = 0; step < 2; ++step) {
    EXPECT_TRUE(all_near(unet(all, {.images = &together}), unet(all, {}), tolerance)) << step;
  }
  EXPECT_TRUE(unet(one, {.images = &images_of_one}).equal(unet(one, {}))) << "what it kept is its own";
  std::ranges::reverse(together);
  auto reversed = all;
  const auto order = at::tensor({2, 0, 1}, at::kLong);
  for (auto* tensor : {&reversed.sample, &reversed.timesteps, &reversed.encoder_hidden_states}) {
    *tensor = tensor->index_select(0, order);
  }
  EXPECT_TRUE(all_near(unet(reversed, {.images = &together}), unet(reversed, {}), tolerance));
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
