// FLUX.1 against diffusers: latents after every step, then pixels; and the rules of a pipeline for its requests.
#include <ATen/ops/equal.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <tuple>

#include "pipelines/family_cases.h"
#include "pipelines/pipeline_cases.h"
#include "pipelines/registry.h"
#include "weights/stores/component_store.h"

namespace easel {
namespace {

using testing::begin;
using testing::expect_interleaving_changes_no_bit;
using testing::expect_rejected;
using testing::expect_requests_share_a_call;
using testing::generate_image;
using testing::latents_of;
using testing::load;
using testing::request;

TEST(FluxPipeline, LatentsAndPixelsMatchDiffusers) {
  EXPECT_GE(testing::expect_all_cases_agree(), 36);
}

// Requests with prompts of different lengths, steps, schedules, starts and guidance.
std::vector<GenerationRequest> mixed_requests() {
  auto requests = testing::mixed_requests(/*repetitions=*/12, /*guidance_scale=*/1.5);
  requests[4].true_cfg_scale = 4.0;
  return requests;
}

TEST(FluxPipeline, RequestsOfAllKindsShareACall) {
  expect_requests_share_a_call(*load("flux_dev"), mixed_requests());
}

TEST(FluxPipeline, InterleavedImagesAreBitIdenticalToImagesGeneratedAlone) {
  expect_interleaving_changes_no_bit(*load("flux_dev"), mixed_requests());
}

TEST(FluxPipeline, ImageIUsesSeedPlusI) {
  testing::expect_image_i_uses_seed_plus_i(*load("flux_schnell"), request("a fox", 100, 2));
}

TEST(FluxPipeline, NegativePromptsNeedATrueCfgScaleAboveOne) {
  const auto pipeline = load("flux_dev");
  auto r = request("a fox", 1, 2);
  r.guidance_scale = 30.0;
  for (const auto& [negative, scale, rows] : {std::tuple{"", 4.0, 1}, {"a cat", 1.0, 1}, {"a cat", 1.5, 2}}) {
    r.negative_prompt = negative;
    r.true_cfg_scale = scale;
    EXPECT_EQ(begin(*pipeline, r)->rows(), rows) << negative << ' ' << scale;
  }
  r.true_cfg_scale.reset();
  EXPECT_EQ(begin(*pipeline, r)->rows(), 1);
}

TEST(FluxPipeline, GuidanceIntervalLimitsTrueCfg) {
  auto guided = request("a fox", 1, 4), unguided = guided;
  guided.negative_prompt = "a cat";
  guided.true_cfg_scale = 3.0;
  testing::expect_guidance_interval_limits_rows(*load("flux_dev"), guided, unguided);
}

TEST(FluxPipeline, SizesAreRoundedDownToSixteen) {
  const auto pipeline = load("flux_schnell");
  auto r = request("a fox", 1, 1);
  r.width = 100;
  r.height = 8;
  const auto image = generate_image(*pipeline, r);
  EXPECT_EQ(image.width, 96);
  EXPECT_EQ(image.height, 16) << "at least one cell";
}

TEST(FluxPipeline, DescriptionSaysWhatRequestsMaySet) {
  const auto pipeline = load("flux_dev"), schnell = load("flux_schnell");
  const auto& d = pipeline->description();
  EXPECT_EQ(d.family, "flux");
  EXPECT_EQ(d.default_scheduler, "flow_euler");
  EXPECT_EQ(d.cell, 16);
  EXPECT_EQ(d.native_width, 1024);
  EXPECT_EQ(d.default_steps, 28);
  EXPECT_EQ(d.default_guidance_scale, 3.5);
  EXPECT_EQ(d.max_clip_skip, 0);
  EXPECT_TRUE(d.rounds_size_down);
  EXPECT_TRUE(d.separate_guidance);
  using ::testing::Contains;
  using ::testing::Not;
  EXPECT_THAT(d.unused_fields, Not(Contains("guidance_scale")));
  EXPECT_THAT(d.unused_fields, Not(Contains("true_cfg_scale")));
  EXPECT_THAT(d.unused_fields, Contains("guidance_rescale"));
  EXPECT_THAT(schnell->description().unused_fields, Contains("guidance_scale")) << "it is not an input of that model";
  EXPECT_THAT(d.schedulers, Contains("flow_lcm"));
  EXPECT_THAT(d.schedulers, Not(Contains("euler")));
}

TEST(FluxPipeline, FieldsWithoutUseAreRejected) {
  const auto pipeline = load("flux_dev");
  auto r = request("a fox", 1, 2);
  testing::expect_unused_fields_rejected(*pipeline, r);
  r.true_cfg_scale = std::numeric_limits<double>::infinity();
  expect_rejected(*pipeline, r, "true_cfg_scale");
}

TEST(FluxPipeline, PromptsAreCutWhereT5CutsThem) {
  const auto pipeline = load("flux_schnell");
  const auto cut_of = [&](const std::string& prompt) { return testing::is_cut(*pipeline, request(prompt, 1, 1)); };
  EXPECT_FALSE(cut_of(testing::repeated("x ", 150))) << "longer than what CLIP reads";
  EXPECT_TRUE(cut_of(testing::repeated("x ", 600)));
}

TEST(FluxPipeline, HalfPrecisionStaysNearFloat32) {
  const auto wide = load("flux_dev"), half = load("flux_dev", at::kBFloat16);
  const auto r = request("a fox", 1, 3);
  EXPECT_TRUE(at::equal(latents_of(*begin(*wide, r)).to(at::kBFloat16), latents_of(*begin(*half, r))))
      << "the noise is float32's, rounded";
  const auto own = open_component(testing::kReferenceFolder, "bfloat16")->read("distance").item<double>();
  SCOPED_TRACE("the reference's own is " + std::to_string(own));
  testing::expect_near_float32(*wide, *half, r, at::kBFloat16, /*tolerance=*/2 * own);
}

TEST(FluxPipeline, ReleasedTextEncodersAreLoadedAgain) {
  PipelineOptions options;
  options.placement.release_text_encoders = true;
  options.estimate_activations = false;
  const auto releasing = open_model("m", testing::reference("flux_schnell"), options).load({}, {});
  const auto keeping = load("flux_schnell");
  for (const char* prompt : {"a fox", "a whale"}) {
    const auto r = request(prompt, 1, 1);
    EXPECT_EQ(generate_image(*releasing, r).pixels, generate_image(*keeping, r).pixels) << prompt;
  }
}

TEST(FluxPipeline, PreviewHasTheSizeOfTheLatents) {
  testing::expect_preview_of_width(*load("flux_schnell"), request("a fox", 1, 2), 16);
}

TEST(FluxPipeline, StepEstimateMatchesCpuAllocation) {
  auto r = request("a fox", 1, 3);
  r.negative_prompt = "a cat";
  r.true_cfg_scale = 2.0;
  r.width = 512;
  r.height = 384;
  testing::expect_step_estimate_matches("flux_dev", r);
}

}  // namespace
}  // namespace easel
