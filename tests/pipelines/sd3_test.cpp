// Stable Diffusion 3 and 3.5 against diffusers: latents after every step, then pixels; and the rules of a pipeline for
// its requests.
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "pipelines/family_cases.h"
#include "pipelines/pipeline_cases.h"
#include "pipelines/registry.h"
#include "support/message_of.h"

namespace easel {
namespace {

using testing::expect_interleaving_changes_no_bit;
using testing::expect_rejected;
using testing::expect_requests_share_a_call;
using testing::generate_image;
using ::testing::HasSubstr;
using testing::load;
using testing::request;

TEST(StableDiffusion3Pipeline, LatentsAndPixelsMatchDiffusers) {
  EXPECT_GE(testing::expect_all_cases_agree(), 25);
}

TEST(StableDiffusion3Pipeline, FilesInTheMakersLayoutGiveTheImageOfTheFolder) {
  auto r = request("a fox on a blue background", 5, 2);
  r.negative_prompt = "a whale";
  const auto expected = generate_image(*load("sd35"), r).pixels;
  for (const char* file : {"sd35_file.safetensors", "split/sd35.safetensors"}) {
    const auto pipeline = load(file);
    EXPECT_EQ(pipeline->description().family, "stable-diffusion-3") << file;
    EXPECT_EQ(generate_image(*pipeline, r).pixels, expected) << file;
  }
}

// Requests with prompts, steps, schedules, starts and guidance of their own.
std::vector<GenerationRequest> mixed_requests() {
  return testing::mixed_requests(/*repetitions=*/40, /*guidance_scale=*/1.0);
}

TEST(StableDiffusion3Pipeline, DifferentRequestsShareACall) {
  expect_requests_share_a_call(*load("sd35"), mixed_requests());
}

TEST(StableDiffusion3Pipeline, InterleavedImagesAreBitIdenticalToImagesGeneratedAlone) {
  expect_interleaving_changes_no_bit(*load("sd35"), mixed_requests());
}

TEST(StableDiffusion3Pipeline, ImageIUsesSeedPlusI) {
  testing::expect_image_i_uses_seed_plus_i(*load("sd35"), request("a fox", 100, 2), /*steps=*/1);
}

TEST(StableDiffusion3Pipeline, EveryScaleAboveOneGuides) {
  testing::expect_rows_of_guidance_scales(*load("sd3"), request("a fox", 1, 2),
                                          {{0.0, 1}, {1.0, 1}, {1.5, 2}, {7.0, 2}});
}

TEST(StableDiffusion3Pipeline, GuidanceIntervalLimitsRows) {
  auto guided = request("a fox", 1, 4), unguided = guided;
  guided.negative_prompt = "a cat on a red background";
  guided.guidance_scale = 4.0;
  unguided.guidance_scale = 1.0;
  testing::expect_guidance_interval_limits_rows(*load("sd3"), guided, unguided);
}

TEST(StableDiffusion3Pipeline, SizesAreRoundedUpToSixteenAndCropped) {
  auto r = request("a fox", 1, 1);
  r.width = 100;
  r.height = 72;
  testing::expect_cropped_from(*load("sd3"), r, {1, 16, 10, 14});
}

TEST(StableDiffusion3Pipeline, DescriptionSaysWhatTheModelCan) {
  const auto pipeline = load("sd35");
  const auto& d = pipeline->description();
  EXPECT_EQ(d.family, "stable-diffusion-3");
  EXPECT_EQ(d.default_scheduler, "flow_euler");
  EXPECT_EQ(d.prediction_type, "flow_prediction");
  EXPECT_EQ(d.default_steps, 28);
  EXPECT_EQ(d.default_guidance_scale, 7.0);
  EXPECT_EQ(d.default_strength, 0.6);
  EXPECT_EQ(d.cell, 16);
  EXPECT_EQ(d.native_width, 128);
  EXPECT_EQ(d.max_clip_skip, 2) << "of the encoder with fewer layers";
  EXPECT_FALSE(d.needs_mask);
  EXPECT_THAT(d.schedulers, ::testing::Contains("flow_heun"));
  EXPECT_THAT(d.schedulers, ::testing::Not(::testing::Contains("euler")));
  EXPECT_THAT(d.components, ::testing::SizeIs(5)) << "three text encoders, transformer, autoencoder";
  EXPECT_THAT(load("sd3")->description().components, ::testing::SizeIs(4));
  EXPECT_TRUE(load("sd3_inpaint")->description().needs_mask);
}

TEST(StableDiffusion3Pipeline, FieldsWithoutUseAreRejected) {
  const auto pipeline = load("sd3");
  auto r = request("a fox", 1, 2);
  testing::expect_unused_fields_rejected(*pipeline, r, /*clip_skip=*/3);
  r.width = 29 * 16;
  expect_rejected(*pipeline, r, "size");
}

TEST(StableDiffusion3Pipeline, CutIsWhatTheEncoderThatReadsMostLeavesOut) {
  const auto with_t5 = load("sd35"), without = load("sd3");
  const auto cut_of = [&](Pipeline& pipeline, const std::string& prompt) {
    return testing::is_cut(pipeline, request(prompt, 1, 1));
  };
  const auto words = testing::repeated("a fox, ", 30);
  EXPECT_FALSE(cut_of(*with_t5, "a fox"));
  EXPECT_FALSE(cut_of(*without, "a fox"));
  EXPECT_FALSE(cut_of(*with_t5, words));
  EXPECT_TRUE(cut_of(*without, words));
  EXPECT_TRUE(cut_of(*with_t5, words + words + words));
}

TEST(StableDiffusion3Pipeline, PromptsAreReadAsTheyAreWhateverTheServersSyntaxIs) {
  const c10::InferenceMode inference;
  PipelineOptions options;
  options.prompt_syntax = PromptSyntax::kA1111;
  const auto weighing = open_model("m", testing::reference("sd3"), options).load({}, {});
  const auto reading = load("sd3");
  const auto prompt = request("a (fox:1.5)", 1, 1);
  EXPECT_EQ(generate_image(*weighing, prompt).pixels, generate_image(*reading, prompt).pixels);
}

TEST(StableDiffusion3Pipeline, HalfPrecisionStaysNearFloat32) {
  auto r = request("a fox", 1, 3);
  r.guidance_scale = 1.5;  // guidance multiplies the error
  testing::expect_near_float32(*load("sd35"), *load("sd35", at::kBFloat16), r, at::kBFloat16);
}

TEST(StableDiffusion3Pipeline, PreviewHasTheSizeOfTheLatents) {
  testing::expect_preview_of_width(*load("sd3"), request("a fox", 1, 2), 16);
}

TEST(StableDiffusion3Pipeline, StepEstimateMatchesCpuAllocation) {
  auto r = request("a fox", 1, 3);
  r.width = 416;
  r.height = 320;
  for (const char* folder : {"sd3", "sd35"}) testing::expect_step_estimate_matches(folder, r);
}

/// A copy of a checkpoint in which one field of one JSON file is changed.
class ChangedCheckpoint {
 public:
  ChangedCheckpoint(const std::string& folder, const std::string& file, const std::string& key,
                    const nlohmann::json& value)
      : path_(::testing::TempDir() + "easel_changed_" + folder) {
    namespace fs = std::filesystem;
    fs::remove_all(path_);
    fs::copy(testing::reference(folder), path_, fs::copy_options::recursive);
    auto fields = nlohmann::json::parse(std::ifstream(path_ + file));
    fields[key] = value;
    std::ofstream(path_ + file) << fields;
  }
  ~ChangedCheckpoint() { std::filesystem::remove_all(path_); }
  ChangedCheckpoint(const ChangedCheckpoint&) = delete;
  ChangedCheckpoint& operator=(const ChangedCheckpoint&) = delete;

  std::string error() const {
    return message_of([&] { open_model("m", path_, {}).load({}, {}); });
  }

 private:
  std::string path_;
};

TEST(StableDiffusion3Pipeline, ComponentsThatDoNotFitAreNamed) {
  const std::string transformer = "/transformer/config.json";
  EXPECT_THAT(ChangedCheckpoint("sd3", transformer, "qk_norm", "layer_norm").error(), HasSubstr("qk_norm"));
  EXPECT_THAT(ChangedCheckpoint("sd3", "/tokenizer_2/tokenizer_config.json", "model_max_length", 50).error(),
              HasSubstr("model_max_length"));
  EXPECT_THAT(ChangedCheckpoint("sd3", "/model_index.json", "text_encoder_2", {nullptr, nullptr}).error(),
              HasSubstr("`text_encoder_2` is missing or null"));
  EXPECT_THAT(ChangedCheckpoint("sd35", "/model_index.json", "tokenizer_3", {nullptr, nullptr}).error(),
              HasSubstr("`tokenizer_3` is missing or null"));
  EXPECT_THAT(
      ChangedCheckpoint("sd3", "/model_index.json", "image_encoder", {"transformers", "SiglipVisionModel"}).error(),
      HasSubstr("`image_encoder` is not supported"));
}

}  // namespace
}  // namespace easel
