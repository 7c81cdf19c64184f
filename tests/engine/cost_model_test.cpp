#include "engine/device/cost_model.h"

#include <gtest/gtest.h>

namespace easel {
namespace {

ModelDescription described(std::int64_t parameters) {
  ModelDescription model;
  model.parameters = parameters;
  model.native_width = model.native_height = 512;
  model.default_steps = 10;
  model.default_guidance_scale = 7.5;
  return model;
}

GenerationRequest sized(int width, int height) {
  GenerationRequest request;
  request.width = width;
  request.height = height;
  return request;
}

TEST(CostModel, AreGuessedFromPixelsAndParameters) {
  const CostModel costs({described(1000), described(3000)});
  const auto row = costs.of(costs.shape_of(0, {})).row;
  EXPECT_GT(row, 0);
  EXPECT_DOUBLE_EQ(costs.of(costs.shape_of(0, sized(1024, 512))).row, 2 * row);
  EXPECT_DOUBLE_EQ(costs.of(costs.shape_of(1, {})).row, 3 * row);
}

TEST(CostModel, NativeSizeOnlyModelHasOneShape) {
  auto model = described(1000);
  model.native_size_only = true;
  const CostModel costs({model});
  EXPECT_EQ(costs.shape_of(0, sized(64, 64)), costs.shape_of(0, {}));
}

TEST(CostModel, ArePositiveWithoutAnyInformation) {
  const CostModel costs({described(0)});
  EXPECT_GT(costs.request_seconds(0, sized(0, 0)), 0);
}

TEST(CostModel, FirstSampleThatTheSecondDisprovesDoesNotCount) {
  CostModel costs({described(1000)});
  const auto shape = costs.shape_of(0, {});
  costs.add_decode(shape, 30);
  EXPECT_DOUBLE_EQ(costs.of(shape).decode, 30);
  costs.add_decode(shape, 1);
  EXPECT_DOUBLE_EQ(costs.of(shape).decode, 1) << "the first call of a cold device was 30 times as slow";
  costs.add_decode(shape, 2);
  EXPECT_DOUBLE_EQ(costs.of(shape).decode, 1.5);
  costs.add_begin(shape, 3);
  costs.add_begin(shape, 1);
  EXPECT_DOUBLE_EQ(costs.of(shape).begin, 2) << "not slower by enough to be disproved";
}

TEST(CostModel, FollowMeasurements) {
  CostModel costs({described(1000)});
  const auto shape = costs.shape_of(0, {});
  costs.add_begin(shape, 0.5);
  costs.add_step(shape, "k", /*rows=*/4, /*seconds=*/8);
  costs.add_decode(shape, 3);
  EXPECT_DOUBLE_EQ(costs.of(shape).begin, 0.5);
  EXPECT_DOUBLE_EQ(costs.of(shape).row, 2);
  EXPECT_DOUBLE_EQ(costs.of(shape).decode, 3);
  GenerationRequest request;
  request.num_images = 2;
  EXPECT_DOUBLE_EQ(costs.request_seconds(0, request), 0.5 + 2 * (10 * 2 * 2 + 3)) << "ten steps of two rows each";
  request.guidance_interval = {.start = 0.25, .end = 0.7};
  EXPECT_DOUBLE_EQ(costs.request_seconds(0, request), 0.5 + 2 * ((10 + 5) * 2 + 3)) << "guidance in steps 2 to 6";
  request.guidance_scale = 1.0;
  request.num_inference_steps = 5;
  EXPECT_DOUBLE_EQ(costs.request_seconds(0, request), 0.5 + 2 * (5 * 2 + 3));
  request.timesteps = {999, 500, 1};
  EXPECT_DOUBLE_EQ(costs.request_seconds(0, request), 0.5 + 2 * (3 * 2 + 3)) << "custom timesteps take precedence";
}

TEST(GuidanceInterval, RowsAreThoseOfTheStepsThatAreLeft) {
  const GuidanceInterval interval{.start = 0.25, .end = 0.7};
  EXPECT_EQ(rows_from(0, 10, 2, interval), 15);
  EXPECT_EQ(rows_from(3, 10, 2, interval), 7 + 4);
  EXPECT_EQ(rows_from(7, 10, 3, interval), 3);
  EXPECT_EQ(rows_from(0, 10, 3, interval), 20);
  EXPECT_EQ(rows_from(10, 10, 2, interval), 0);
  EXPECT_EQ(rows_from(4, 10, 2, std::nullopt), 12);
  EXPECT_EQ(rows_from(4, 10, 1, interval), 6);
  EXPECT_EQ(rows_from(0, 1, 2, GuidanceInterval{.start = 0, .end = 0.9}), 1) << "both ends are rounded down";
}

std::shared_ptr<const Image> blank(int width, int height) {
  return std::make_shared<Image>(Image{.width = width, .height = height, .pixels = {}});
}

TEST(CostModel, ReferencesCostTheirPixelsAtEveryStep) {
  auto model = described(1000);
  model.keeps_input_sizes = true;
  model.max_reference_pixels = 1024 * 1024;
  CostModel costs({model});
  const auto without = costs.of(costs.shape_of(0, sized(512, 512)));
  auto request = sized(512, 512);
  request.image = blank(512, 1024);
  const auto with_one = costs.of(costs.shape_of(0, request));
  EXPECT_DOUBLE_EQ(with_one.row, 3 * without.row);
  EXPECT_DOUBLE_EQ(with_one.decode, without.decode) << "the decoder does not see references";
  request.more_images = {blank(4096, 4096)};
  EXPECT_DOUBLE_EQ(costs.of(costs.shape_of(0, request)).row, 7 * without.row) << "reduced to a megapixel";

  const auto plain = sized(512, 512);
  costs.add_step(costs.shape_of(0, plain), "k", /*rows=*/1, /*seconds=*/2);
  EXPECT_DOUBLE_EQ(costs.of(costs.shape_of(0, request)).row, 14) << "by the speed of a step without references";
  costs.add_step(costs.shape_of(0, request), "k2", /*rows=*/1, /*seconds=*/9);
  costs.add_decode(costs.shape_of(0, request), 4);
  EXPECT_DOUBLE_EQ(costs.of(costs.shape_of(0, request)).row, 9);
  EXPECT_DOUBLE_EQ(costs.of(costs.shape_of(0, plain)).row, 2);
  EXPECT_DOUBLE_EQ(costs.of(costs.shape_of(0, plain)).decode, 4);
}

TEST(CostModel, ReferenceThatIsResizedCostsWhatItBecomes) {
  auto model = described(1000);
  model.min_reference_pixels = model.max_reference_pixels = 1024 * 1024;
  const CostModel costs({model});
  auto request = sized(1024, 1024);
  request.image = blank(64, 64);
  const auto without = costs.of(costs.shape_of(0, sized(1024, 1024)));
  EXPECT_DOUBLE_EQ(costs.of(costs.shape_of(0, request)).row, 2 * without.row);
}

TEST(CostModel, SecondImageThatStandsInForTheFirstCostsNoMore) {
  auto model = described(1000);
  model.max_reference_pixels = 1024 * 1024;
  model.second_image_needs_mask = true;
  const CostModel costs({model});
  auto request = sized(512, 512);
  request.image = request.mask = blank(512, 512);
  request.more_images = {blank(256, 256)};
  EXPECT_EQ(costs.shape_of(0, request).reference_pixels, 256 * 256);
}

TEST(CostModel, ResultHasTheSizeOfTheReferenceWhereTheRequestNamesNone) {
  auto model = described(1000);
  model.max_reference_pixels = 1024 * 1024;
  const CostModel costs({model});
  GenerationRequest request;
  request.image = blank(256, 128);
  EXPECT_EQ(costs.shape_of(0, request), (CostModel::Shape{0, 256, 128, 256 * 128}));
  request.image = blank(4096, 2048);
  EXPECT_EQ(costs.shape_of(0, request), (CostModel::Shape{0, 1448, 724, 1024 * 1024}));
  request.width = request.height = 64;
  EXPECT_EQ(costs.shape_of(0, request).width, 64);
  request.mask = blank(4096, 2048);
  EXPECT_EQ(costs.shape_of(0, request).width, 1448) << "with a mask, the request's size has no say";
}

TEST(CostModel, ImagesToStartFromCostNothingAtEachStep) {
  const CostModel costs({described(1000)});
  auto request = sized(512, 512);
  const auto without = costs.shape_of(0, request);
  request.image = blank(4096, 4096);
  EXPECT_EQ(costs.shape_of(0, request), without);
}

TEST(CostModel, RowsFollowTheGuidanceOfTheModel) {
  auto model = described(1000);
  const auto cost_of = [&](const GenerationRequest& request) { return CostModel({model}).request_seconds(0, request); };
  const auto with_scale = [](double scale) {
    GenerationRequest request;
    request.guidance_scale = scale;
    return request;
  };
  const auto one_row = cost_of(with_scale(1)), two_rows = cost_of(with_scale(2));
  EXPECT_GT(two_rows, one_row);
  model.guides_above = 0;
  EXPECT_DOUBLE_EQ(cost_of(with_scale(0.5)), two_rows);
  EXPECT_DOUBLE_EQ(cost_of(with_scale(0)), one_row);
  model.separate_guidance = true;
  auto request = with_scale(3.5);
  EXPECT_DOUBLE_EQ(cost_of(request), one_row) << "the scale is an input of the model";
  request.true_cfg_scale = 4;
  EXPECT_DOUBLE_EQ(cost_of(request), one_row) << "there is no negative prompt";
  request.negative_prompt = "blur";
  EXPECT_DOUBLE_EQ(cost_of(request), two_rows);
  model.separate_guidance = false;
  model.unused_fields = {"guidance_scale", "negative_prompt"};
  EXPECT_DOUBLE_EQ(cost_of(with_scale(4)), one_row) << "a distilled model";
}

// Each pass of a request costs what its own size costs, and the change from one to the other a decode and a begin.
TEST(CostModel, SecondPassHasItsOwnSize) {
  CostModel costs({described(1000)});
  auto request = sized(64, 64);
  request.num_inference_steps = 8;
  request.hires = HiresPass{.width = 128, .height = 96, .strength = 0.5};
  const auto first = costs.shape_of(0, request), second = costs.second_shape_of(0, request);
  EXPECT_EQ(second.width, 128);
  EXPECT_EQ(second.height, 96);
  EXPECT_EQ(costs.second_shape_of(0, sized(64, 64)), costs.shape_of(0, sized(64, 64))) << "without a second pass";
  costs.add_begin(first, 1);
  costs.add_step(first, "small", 2, 4);
  costs.add_decode(first, 3);
  costs.add_begin(second, 5);
  costs.add_step(second, "large", 2, 20);
  costs.add_decode(second, 7);
  EXPECT_DOUBLE_EQ(costs.between_passes(first, second), 3 + 5);
  EXPECT_DOUBLE_EQ(costs.request_seconds(0, request), 1 + 8 * 2 * 2 + (3 + 5) + 4 * 2 * 10 + 7);
  request.hires->num_inference_steps = 20;
  EXPECT_DOUBLE_EQ(costs.request_seconds(0, request), 1 + 8 * 2 * 2 + (3 + 5) + 10 * 2 * 10 + 7);
}

TEST(CostModel, OneModelsMeasurementsScaleToAnother) {
  CostModel costs({described(1000), described(2000)});
  costs.add_step(costs.shape_of(0, {}), "k", 1, 7);
  EXPECT_DOUBLE_EQ(costs.of(costs.shape_of(1, {})).row, 14);
}

TEST(CostModel, StepCostIsInterpolatedAndExtrapolated) {
  CostModel costs({described(1000), described(1000)});
  EXPECT_FALSE(costs.step(0, "k", 1));
  const auto shape = costs.shape_of(0, {});
  costs.add_step(shape, "k", 2, 1.0);
  costs.add_step(shape, "k", 8, 2.5);
  EXPECT_DOUBLE_EQ(*costs.step(0, "k", 2), 1.0);
  EXPECT_DOUBLE_EQ(*costs.step(0, "k", 4), 1.5);
  EXPECT_DOUBLE_EQ(*costs.step(0, "k", 8), 2.5);
  EXPECT_DOUBLE_EQ(*costs.step(0, "k", 16), 5.0) << "in proportion";
  EXPECT_DOUBLE_EQ(*costs.step(0, "k", 1), 0.5);
  EXPECT_FALSE(costs.step(0, "other", 2));
  EXPECT_FALSE(costs.step(1, "k", 2));
}

TEST(RunningMean, FollowsAChangeAndDampsOutliers) {
  RunningMean estimate;
  EXPECT_FALSE(estimate.known());
  for (int i = 0; i < 20; ++i) estimate.add(1);
  estimate.add(1000);
  EXPECT_LT(estimate.value(), 1.5);
  for (int i = 0; i < 50; ++i) estimate.add(3);
  EXPECT_NEAR(estimate.value(), 3, 0.01);
  estimate.add(-1);
  EXPECT_NEAR(estimate.value(), 3, 0.01) << "a negative sample is ignored";
}

}  // namespace
}  // namespace easel
