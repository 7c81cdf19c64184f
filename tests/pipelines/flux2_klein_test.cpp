// FLUX.2 klein against diffusers: latents after every step, then pixels; and the rules of a pipeline for its requests.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoints/component_file.h"
#include "core/config.h"
#include "models/memory/activation_memory.h"
#include "pipelines/family_cases.h"
#include "pipelines/pipeline_cases.h"
#include "pipelines/registry.h"
#include "support/message_of.h"

namespace easel {
namespace {

using testing::begin;
using testing::expect_interleaving_changes_no_bit;
using testing::expect_rejected;
using testing::expect_requests_share_a_call;
using testing::generate_image;
using testing::latents_of;
using testing::load;
using testing::open_files;
using testing::plain;
using testing::request;

constexpr char kBase[] = "flux2_klein_base", kDistilled[] = "flux2_klein";

/// Differs from pixel to pixel.
std::shared_ptr<const Image> pattern(int width, int height, int kind) {
  auto image = std::make_shared<Image>(Image{.width = width, .height = height, .pixels = {}});
  for (int i = 0; i < width * height * 3; ++i) image->pixels.push_back(static_cast<std::uint8_t>(i * kind / 7));
  return image;
}

TEST(Flux2KleinPipeline, LatentsAndPixelsMatchDiffusers) {
  EXPECT_GE(testing::expect_all_cases_agree(), 28);
}

// Requests with prompts of different lengths, steps, schedules, references and guidance.
std::vector<GenerationRequest> mixed_requests() {
  auto requests = testing::mixed_requests(/*repetitions=*/30, /*guidance_scale=*/1.0);
  requests[3].image = pattern(96, 80, 3);
  requests[3].more_images = {pattern(64, 128, 5)};
  requests[4].image = pattern(128, 128, 2);
  return requests;
}

TEST(Flux2KleinPipeline, InterleavedImagesAreBitIdenticalToImagesGeneratedAlone) {
  expect_interleaving_changes_no_bit(*load(kBase), mixed_requests());
}

TEST(Flux2KleinPipeline, ImagesWithReferencesOfTheSameSizesShareACall) {
  const auto pipeline = load(kBase);
  std::vector<GenerationRequest> requests{request("a fox", 1, 3), request("a cat and a dog", 2, 3), request("", 3, 3)};
  requests[0].image = pattern(96, 80, 3);
  requests[1].image = pattern(96, 80, 5);
  requests[2].image = pattern(96, 80, 7);
  requests[2].guidance_scale = 1.0;
  expect_requests_share_a_call(*pipeline, requests);
  const auto key = pipeline->batch_key(*begin(*pipeline, requests[0]));
  requests[0].more_images = {pattern(64, 64, 1)};
  EXPECT_NE(pipeline->batch_key(*begin(*pipeline, requests[0])), key);
}

TEST(Flux2KleinPipeline, ImageIUsesSeedPlusIAndSeesAllReferences) {
  auto r = request("a fox", 100, 2);
  r.image = pattern(96, 80, 3);
  r.more_images = {pattern(64, 64, 5)};
  testing::expect_image_i_uses_seed_plus_i(*load(kDistilled), r, /*steps=*/1);
}

TEST(Flux2KleinPipeline, DistilledModelsNeverGuide) {
  auto r = request("a fox", 1, 2);
  const auto rows = [&](const char* folder, double scale) {
    r.guidance_scale = scale;
    return begin(*load(folder), r)->rows();
  };
  EXPECT_EQ(rows(kBase, 1.0), 1);
  EXPECT_EQ(rows(kBase, 1.5), 2);
  EXPECT_EQ(rows(kDistilled, 4.0), 1);
  EXPECT_THAT(load(kDistilled)->description().unused_fields,
              ::testing::IsSupersetOf({"guidance_scale", "negative_prompt"}));
  EXPECT_THAT(load(kBase)->description().unused_fields, ::testing::Not(::testing::Contains("negative_prompt")));
}

TEST(Flux2KleinPipeline, GuidanceIntervalLimitsRowsAndReferences) {
  auto guided = request("a fox", 1, 4), unguided = guided;
  guided.image = unguided.image = pattern(64, 64, 5);
  guided.guidance_scale = 4.0;
  unguided.guidance_scale = 1.0;
  testing::expect_guidance_interval_limits_rows(*load(kBase), guided, unguided);
  guided.guidance_interval = {.start = 0, .end = 0.5};
  testing::expect_rejected(*load(kDistilled), guided, "guidance_interval");
}

TEST(Flux2KleinPipeline, SizesAreRoundedDownToSixteen) {
  const auto pipeline = load(kDistilled);
  auto r = request("a fox", 1, 1);
  r.width = 111;
  r.height = 79;
  const auto image = generate_image(*pipeline, r);
  EXPECT_EQ(image.width, 96);
  EXPECT_EQ(image.height, 64);
}

TEST(Flux2KleinPipeline, WithoutASizeTheFirstImageChoosesIt) {
  const auto pipeline = load(kDistilled);
  auto r = request("a fox", 1, 1);
  r.width = r.height = std::nullopt;
  r.image = pattern(100, 143, 3);
  r.more_images = {pattern(64, 64, 3)};
  EXPECT_EQ(latents_of(*begin(*pipeline, r)).sizes(), (at::IntArrayRef{1, 16, 8, 6}));
}

TEST(Flux2KleinPipeline, WithAMaskTheFirstImageChoosesTheSizeWhateverTheRequestSays) {
  const auto pipeline = load(kDistilled);
  auto r = request("a fox", 1, 2);
  r.image = pattern(100, 143, 3);
  r.mask = plain(100, 143, 255);
  EXPECT_EQ(latents_of(*begin(*pipeline, r)).sizes(), (at::IntArrayRef{1, 16, 8, 6}));
}

TEST(Flux2KleinPipeline, DescriptionNamesSchedulersAndReferences) {
  const auto pipeline = load(kBase);
  const auto& d = pipeline->description();
  EXPECT_EQ(d.family, "flux2-klein");
  EXPECT_EQ(d.default_scheduler, "flow_euler");
  EXPECT_EQ(d.cell, 16);
  EXPECT_EQ(d.native_width, 1024);
  EXPECT_EQ(d.max_clip_skip, 0);
  EXPECT_EQ(d.max_input_images, 16);
  EXPECT_TRUE(d.keeps_input_sizes);
  EXPECT_EQ(d.max_reference_pixels, 1024 * 1024);
  EXPECT_EQ(d.min_reference_pixels, 0) << "smaller ones stay as they are";
  EXPECT_TRUE(d.rounds_size_down);
  EXPECT_FALSE(d.needs_mask);
}

TEST(Flux2KleinPipeline, WhatDoesNotFitIsRejected) {
  const auto pipeline = load(kBase);
  const auto rejected = [&](const char* param, auto change) {
    auto r = request("a fox", 1, 2);
    change(r);
    expect_rejected(*pipeline, r, param);
  };
  testing::expect_unused_fields_rejected(*pipeline, request("a fox", 1, 2));
  rejected("image", [](GenerationRequest& r) { r.image = pattern(63, 128, 1); });
  rejected("image", [](GenerationRequest& r) { r.image = pattern(64, 513, 1); });
  rejected("image", [](GenerationRequest& r) {
    r.image = pattern(64, 512, 1);
    r.more_images = {pattern(128, 63, 1)};
  });
  rejected("mask", [](GenerationRequest& r) { r.mask = plain(64, 64, 255); });
  rejected("strength", [](GenerationRequest& r) {
    r.image = pattern(64, 64, 1);
    r.strength = 0.5;
  });
  rejected("strength", [](GenerationRequest& r) {
    r.image = pattern(64, 64, 1);
    r.mask = plain(64, 64, 255);
    r.strength = 0.0;
  });
}

TEST(Flux2KleinPipeline, LongPromptsAreReportedAsCut) {
  const auto pipeline = load(kDistilled);
  EXPECT_FALSE(testing::is_cut(*pipeline, request("a fox", 1, 1)));
  EXPECT_TRUE(testing::is_cut(*pipeline, request(std::string(600, 'x'), 1, 1)));
}

TEST(Flux2KleinPipeline, HalfPrecisionStaysNearFloat32) {
  // The reference draws noise in that dtype, too.
  testing::expect_near_float32(*load(kDistilled), *load(kDistilled, at::kBFloat16), request("a fox", 1, 3),
                               at::kBFloat16);
}

TEST(Flux2KleinPipeline, PreviewHasTheSizeOfTheLatents) {
  testing::expect_preview_of_width(*load(kDistilled), request("a fox", 1, 2), 8);
}

// The configs of a small model do not follow from its tensors.
TEST(Flux2KleinPipeline, FilesOfComponentsDrawTheFoldersImages) {
  const auto pixels = [](const ServedModel& model) {
    auto r = request("a fox", 1, 2);
    r.image = pattern(96, 80, 3);
    return generate_image(*model.load({}, {}), r).pixels;
  };
  const auto files =
      open_files("split/klein.safetensors",
                 {{"configs", kDistilled}, {"qwen", "split/qwen.safetensors"}, {"vae", "split/vae.safetensors"}});
  EXPECT_EQ(pixels(files), pixels(open_files(kDistilled)));
  EXPECT_THAT(message_of([] {
                open_files("split/klein.safetensors",
                           {{"qwen", "split/qwen.safetensors"}, {"vae", "split/vae.safetensors"}});
              }),
              ::testing::HasSubstr("heads of 32 channels"));
}

TEST(Flux2KleinPipeline, ConfigOfTheAutoencoderFollowsFromItsFile) {
  const ComponentFile file(open_tensor_file(testing::reference("split/vae.safetensors")), "", "AutoencoderKLFlux2", {},
                           {});
  auto fields = file.config();
  fields["norm_num_groups"] = 8;  // of this small model; published ones have the default
  Config found(fields, "vae.safetensors");
  auto written = Config::read_file(testing::reference(kDistilled) + "/vae/config.json", "config.json");
  const auto from_file = AutoencoderKLConfig::from(found), from_folder = AutoencoderKLConfig::from(written);
  EXPECT_EQ(from_file.block_out_channels, from_folder.block_out_channels);
  EXPECT_EQ(from_file.layers_per_block, from_folder.layers_per_block);
  EXPECT_EQ(from_file.patch_channels(), from_folder.patch_channels());
  EXPECT_TRUE(from_file.use_quant_conv && from_file.use_post_quant_conv);
}

TEST(Flux2KleinPipeline, ReferencesThatDoNotFitAreRefusedWithTheNumberThatDoes) {
  PipelineOptions options;
  const auto open = [&] { return open_model("k", testing::reference(kDistilled), options); };
  auto r = request("a fox", 1, 2);
  r.image = pattern(512, 512, 1);
  r.more_images = {pattern(512, 512, 2), pattern(512, 512, 3)};
  EXPECT_NO_THROW(open().check(r));
  const auto message = [&](std::int64_t bytes) {
    options.device_memory = bytes;
    return message_of([&] { open().check(r); });
  };
  std::int64_t weights = 0;
  const auto description = open().description;
  for (const auto& [dtype, bytes] : description.components.at(1).memory_bytes) weights += bytes;
  EXPECT_THAT(message(1), ::testing::HasSubstr("no memory for a reference"));
  // 64 tokens of the image, 512 of the prompt and 1024 of each reference: between two and three of them.
  std::string found;
  for (std::int64_t bytes = weights; found.empty() || found.find("no memory") != std::string::npos;
       bytes += weights / 4) {
    found = message(bytes);
    ASSERT_LT(bytes, 100 * weights);
  }
  EXPECT_THAT(found, ::testing::HasSubstr("`image` was sent 3 times"));
  r.more_images.clear();
  EXPECT_NO_THROW(open().check(r));
  r.image = pattern(32, 32, 1);
  EXPECT_THAT(message(0), ::testing::HasSubstr("32x32"));
}

TEST(Flux2KleinPipeline, StepEstimateWithReferencesMatchesCpuAllocation) {
  const auto served = open_model("k", testing::reference(kDistilled), {});
  auto json = Config::read_file(testing::reference(kDistilled) + "/transformer/config.json", "config.json");
  const std::vector<LatentSize> references{{.height = 24, .width = 32}, {.height = 16, .width = 16}};
  const auto estimated = step_bytes(Flux2Transformer2DConfig::from(json), {.rows = 1, .height = 32, .width = 24},
                                    {.device = at::kCPU, .dtype = at::kFloat}, references);
  auto r = request("a fox", 1, 3);
  r.width = 384;
  r.height = 512;
  r.image = pattern(512, 384, 1);
  r.more_images = {pattern(256, 256, 2)};
  testing::expect_step_allocates(*served.load({}, {}), r, estimated);
}

TEST(Flux2KleinPipeline, StepEstimateMatchesCpuAllocation) {
  auto r = request("a fox", 1, 3);
  r.width = 512;
  r.height = 384;
  testing::expect_step_estimate_matches(kBase, r);
}

}  // namespace
}  // namespace easel
