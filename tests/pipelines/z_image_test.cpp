// Z-Image against diffusers: latents after every step, then pixels; and the rules of a pipeline for its requests.
#include <ATen/ops/equal.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipelines/family_cases.h"
#include "pipelines/pipeline_cases.h"

namespace easel {
namespace {

using testing::begin;
using testing::expect_interleaving_changes_no_bit;
using testing::expect_rejected;
using testing::expect_requests_share_a_call;
using testing::latents_of;
using testing::load;
using testing::request;

TEST(ZImagePipeline, LatentsAndPixelsMatchDiffusers) {
  EXPECT_GE(testing::expect_all_cases_agree(), 22);
}

// Requests with prompts of different lengths, steps, schedules, starts and guidance.
std::vector<GenerationRequest> mixed_requests() {
  return testing::mixed_requests(/*repetitions=*/12, /*guidance_scale=*/0.0);
}

TEST(ZImagePipeline, PromptsOfDifferentLengthsShareACall) {
  expect_requests_share_a_call(*load("z_image"), mixed_requests());
}

TEST(ZImagePipeline, InterleavedImagesAreBitIdenticalToImagesGeneratedAlone) {
  expect_interleaving_changes_no_bit(*load("z_image"), mixed_requests());
}

TEST(ZImagePipeline, ImageIUsesSeedPlusI) {
  testing::expect_image_i_uses_seed_plus_i(*load("z_image"), request("a fox", 100, 2));
}

TEST(ZImagePipeline, EveryScaleAboveZeroGuides) {
  testing::expect_rows_of_guidance_scales(*load("z_image"), request("a fox", 1, 2),
                                          {{0.0, 1}, {0.5, 2}, {1.0, 2}, {4.0, 2}});
}

TEST(ZImagePipeline, GuidanceIntervalLimitsRows) {
  auto guided = request("a fox", 1, 4), unguided = guided;
  guided.negative_prompt = "a cat";
  guided.guidance_scale = 4.0;
  unguided.guidance_scale = 0.0;
  testing::expect_guidance_interval_limits_rows(*load("z_image"), guided, unguided);
}

TEST(ZImagePipeline, SizesAreRoundedUpToSixteenAndCropped) {
  auto r = request("a fox", 1, 1);
  r.width = 100;
  r.height = 72;
  testing::expect_cropped_from(*load("z_image"), r, {1, 4, 10, 14});
}

TEST(ZImagePipeline, DescriptionListsSchedulersOfFlowMatchingOnly) {
  const auto pipeline = load("z_image");
  const auto& d = pipeline->description();
  EXPECT_EQ(d.family, "z-image");
  EXPECT_EQ(d.default_scheduler, "flow_euler");
  EXPECT_EQ(d.cell, 16);
  EXPECT_EQ(d.native_width, 1024);
  EXPECT_EQ(d.max_clip_skip, 0);
  EXPECT_THAT(d.schedulers,
              ::testing::ElementsAre("flow_euler", "flow_euler_karras", "flow_euler_exponential", "flow_euler_beta",
                                     "flow_lcm", "flow_lcm_karras", "flow_lcm_exponential", "flow_lcm_beta"));
}

TEST(ZImagePipeline, FieldsWithoutUseAreRejected) {
  const auto pipeline = load("z_image");
  auto r = request("a fox", 1, 2);
  testing::expect_unused_fields_rejected(*pipeline, r);
  r.width = 65 * 16;
  expect_rejected(*pipeline, r, "size");
}

TEST(ZImagePipeline, LongPromptsAreReportedAsCut) {
  const auto pipeline = load("z_image");
  EXPECT_FALSE(testing::is_cut(*pipeline, request("a fox", 1, 1)));
  EXPECT_TRUE(testing::is_cut(*pipeline, request(std::string(600, 'x'), 1, 1)));
}

TEST(ZImagePipeline, HalfPrecisionKeepsLatentsInFloat32) {
  const auto wide = load("z_image"), half = load("z_image", at::kBFloat16);
  const auto r = request("a fox", 1, 3);
  EXPECT_TRUE(at::equal(latents_of(*begin(*wide, r)), latents_of(*begin(*half, r))))
      << "the first noise is drawn in float32";
  testing::expect_near_float32(*wide, *half, r, at::kFloat);
}

TEST(ZImagePipeline, PreviewHasTheSizeOfTheLatents) {
  testing::expect_preview_of_width(*load("z_image"), request("a fox", 1, 2), 16);
}

TEST(ZImagePipeline, StepEstimateMatchesCpuAllocation) {
  // The estimate is for prompts of 512 tokens.
  auto r = request(std::string(600, 'x'), 1, 3);
  r.negative_prompt = std::string(600, 'y');
  r.width = 512;
  r.height = 384;
  testing::expect_step_estimate_matches("z_image", r);
}

}  // namespace
}  // namespace easel
