// PixArt-Sigma against diffusers: latents after every step, then pixels; and the rules of a pipeline for its requests.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipelines/family_cases.h"
#include "pipelines/images/aspect_ratio_bins.h"
#include "pipelines/pipeline_cases.h"
#include "pipelines/registry.h"
#include "support/message_of.h"

namespace easel {
namespace {

using testing::expect_interleaving_changes_no_bit;
using testing::expect_rejected;
using testing::expect_requests_share_a_call;
using testing::load;

GenerationRequest request(const std::string& prompt, std::uint64_t seed, std::int64_t steps) {
  return testing::request(prompt, seed, steps, /*edge=*/256);
}

TEST(PixArtSigmaPipeline, LatentsAndPixelsMatchDiffusers) {
  EXPECT_GE(testing::expect_all_cases_agree(), 16);
}

// Requests with prompts of different lengths, steps, schedules and guidance.
std::vector<GenerationRequest> mixed_requests() {
  const auto long_prompt = testing::repeated("a whale on a blue background, ", 12);
  std::vector<GenerationRequest> requests{request("a fox", 1, 3), request(long_prompt, 2, 5), request("", 3, 4),
                                          request("a dog", 5, 4)};
  requests[1].scheduler = "euler";
  requests[2].guidance_scale = 1.0;
  requests[3].negative_prompt = long_prompt;
  return requests;
}

TEST(PixArtSigmaPipeline, PromptsOfDifferentLengthsShareACall) {
  expect_requests_share_a_call(*load("pixart"), mixed_requests());
}

TEST(PixArtSigmaPipeline, InterleavedImagesAreBitIdenticalToImagesGeneratedAlone) {
  expect_interleaving_changes_no_bit(*load("pixart"), mixed_requests());
}

TEST(PixArtSigmaPipeline, ImageIUsesSeedPlusI) {
  testing::expect_image_i_uses_seed_plus_i(*load("pixart"), request("a fox", 100, 2));
}

TEST(PixArtSigmaPipeline, ImagesAreGeneratedAtTheClosestSizeOfTheList) {
  auto r = request("a fox", 1, 1);
  r.width = 1000;
  r.height = 251;
  testing::expect_cropped_from(*load("pixart"), r, {1, 4, 16, 64});
}

TEST(AspectRatioBins, EveryListHasTheSizesOfTheReference) {
  const auto size = [](std::int64_t sample_size, int width, int height) {
    const auto canvas = plan_binned_canvas(sample_size, width, height);
    EXPECT_TRUE(canvas.covered);
    EXPECT_EQ(canvas.width, width);
    EXPECT_EQ(canvas.height, height);
    return std::pair(canvas.generated_width, canvas.generated_height);
  };
  EXPECT_EQ(size(32, 1, 1), std::pair(256, 256));
  EXPECT_EQ(size(64, 16, 9), std::pair(672, 384));
  EXPECT_EQ(size(128, 1024, 1024), std::pair(1024, 1024));
  EXPECT_EQ(size(128, 832, 1216), std::pair(832, 1216));
  EXPECT_EQ(size(128, 100, 3000), std::pair(512, 2048));
  EXPECT_EQ(size(256, 3840, 2160), std::pair(2688, 1536));
  EXPECT_EQ(size(256, 389, 100), std::pair(3968, 1024));
  // Ratios that lie between two of the list: the nearer one, and the first of two that are equally near.
  EXPECT_EQ(size(32, 1000, 534), std::pair(336, 176));
  EXPECT_EQ(size(32, 200, 550), std::pair(160, 400));
  EXPECT_THAT(message_of([] { plan_binned_canvas(48, 512, 512); }), ::testing::HasSubstr("48"));
}

TEST(PixArtSigmaPipeline, DescriptionSaysWhatTheModelCan) {
  const auto pipeline = load("pixart");
  const auto& d = pipeline->description();
  EXPECT_EQ(d.family, "pixart-sigma");
  EXPECT_EQ(d.default_scheduler, "dpmpp_2m");
  EXPECT_EQ(d.prediction_type, "epsilon");
  EXPECT_EQ(d.default_steps, 20);
  EXPECT_EQ(d.default_guidance_scale, 4.5);
  EXPECT_EQ(d.native_width, 256);
  EXPECT_EQ(d.max_clip_skip, 0);
  EXPECT_EQ(d.max_input_images, 0);
  EXPECT_FALSE(d.needs_mask);
  EXPECT_THAT(d.schedulers, ::testing::IsSupersetOf({"euler", "ddim", "unipc"}));
  EXPECT_THAT(d.schedulers, ::testing::Not(::testing::Contains("flow_euler")));
}

TEST(PixArtSigmaPipeline, FieldsWithoutUseAreRejected) {
  const auto pipeline = load("pixart");
  auto r = request("a fox", 1, 2);
  r.image = std::make_shared<Image>(Image{.width = 1, .height = 1, .pixels = {0, 0, 0}});
  expect_rejected(*pipeline, r, "image");
  r = request("a fox", 1, 2);
  r.clip_skip = 1;
  expect_rejected(*pipeline, r, "clip_skip");
  r = request("a fox", 1, 2);
  r.prompt_syntax = PromptSyntax::kA1111;
  expect_rejected(*pipeline, r, "prompt_syntax");
  r = request("a fox", 1, 2);
  r.strength = 0.5;
  expect_rejected(*pipeline, r, "strength");
}

TEST(PixArtSigmaPipeline, LongPromptsAreReportedAsCut) {
  const auto pipeline = load("pixart");
  EXPECT_FALSE(testing::is_cut(*pipeline, request("a fox", 1, 1)));
  EXPECT_TRUE(testing::is_cut(*pipeline, request(testing::repeated("fox ", 300), 1, 1)));
}

TEST(PixArtSigmaPipeline, HalfPrecisionStaysNearFloat32) {
  auto r = request("a fox", 1, 3);
  r.guidance_scale = 1.5;  // guidance multiplies the error
  testing::expect_near_float32(*load("pixart"), *load("pixart", at::kBFloat16), r, at::kBFloat16);
}

TEST(PixArtSigmaPipeline, StepEstimateMatchesCpuAllocation) {
  const auto served = open_model("m", testing::reference("pixart"), {});
  const auto& native = served.description.activations.at(0);
  EXPECT_EQ(native.width, 256);
  auto r = request(testing::repeated("fox ", 300), 1, 3);
  r.negative_prompt = r.prompt;
  testing::expect_step_allocates(*served.load({}, {}), r, native.step_bytes.at(2));
}

}  // namespace
}  // namespace easel
