// FLUX.2 klein against diffusers: latents after every step, then pixels; and the rules of a pipeline for its requests.
#include <ATen/ops/equal.h>
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoints/component_file.h"
#include "core/config.h"
#include "models/memory/activation_memory.h"
#include "pipelines/denoising/diffusion_pipeline.h"
#include "pipelines/pipeline_cases.h"
#include "pipelines/registry.h"
#include "support/counting_allocator.h"
#include "support/message_of.h"

namespace easel {
namespace {

using testing::begin;
using testing::expect_rejected;
using testing::finish;
using testing::generate_image;
using testing::latents_of;
using testing::load;
using testing::relative_error;
using testing::step;

constexpr char kBase[] = "flux2_klein_base", kDistilled[] = "flux2_klein";

GenerationRequest request(const std::string& prompt, std::uint64_t seed, std::int64_t steps) {
  GenerationRequest r;
  r.prompt = prompt;
  r.seed = seed;
  r.num_inference_steps = steps;
  r.width = r.height = 128;
  return r;
}

/// Differs from pixel to pixel.
std::shared_ptr<const Image> pattern(int width, int height, int kind) {
  auto image = std::make_shared<Image>(Image{.width = width, .height = height, .pixels = {}});
  for (int i = 0; i < width * height * 3; ++i) image->pixels.push_back(static_cast<std::uint8_t>(i * kind / 7));
  return image;
}

std::shared_ptr<const Image> plain(int width, int height, std::uint8_t value) {
  return std::make_shared<Image>(
      Image{.width = width,
            .height = height,
            .pixels = std::vector<std::uint8_t>(static_cast<std::size_t>(width) * height * 3, value)});
}

TEST(Flux2KleinPipeline, LatentsAndPixelsMatchDiffusers) {
  EXPECT_GE(testing::expect_all_cases_agree(), 28);
}

// Requests with prompts of different lengths, steps, schedules, references and guidance.
std::vector<GenerationRequest> mixed_requests() {
  std::string long_prompt;
  for (int i = 0; i < 30; ++i) long_prompt += "a whale on a blue background, ";
  std::vector<GenerationRequest> requests{request("a fox", 1, 3), request(long_prompt, 2, 5), request("", 3, 4),
                                          request("a cat", 4, 3), request("a dog", 5, 4)};
  requests[1].scheduler = "flow_euler_karras";
  requests[2].guidance_scale = 1.0;
  requests[3].image = pattern(96, 80, 3);
  requests[3].more_images = {pattern(64, 128, 5)};
  requests[4].negative_prompt = long_prompt;
  requests[4].image = pattern(128, 128, 2);
  requests[4].mask = plain(128, 128, 255);
  return requests;
}

TEST(Flux2KleinPipeline, InterleavedImagesAreBitIdenticalToImagesGeneratedAlone) {
  const auto pipeline = load(kBase);
  std::vector<Image> alone;
  for (const auto& r : mixed_requests()) alone.push_back(generate_image(*pipeline, r));
  std::vector<std::unique_ptr<Generation>> together;
  for (const auto& r : mixed_requests()) together.push_back(begin(*pipeline, r));
  for (bool moved = true; moved;) {
    moved = false;
    for (const auto& generation : together) {
      if (generation->finished_stepping()) continue;
      step(*pipeline, generation.get());
      moved = true;
    }
  }
  for (std::size_t i = 0; i < alone.size(); ++i) {
    EXPECT_EQ(finish(*pipeline, together[i].get()).pixels, alone[i].pixels) << i;
  }
}

TEST(Flux2KleinPipeline, ImagesWithReferencesOfTheSameSizesShareACall) {
  const auto pipeline = load(kBase);
  std::vector<GenerationRequest> requests{request("a fox", 1, 3), request("a cat and a dog", 2, 3), request("", 3, 3)};
  requests[0].image = pattern(96, 80, 3);
  requests[1].image = pattern(96, 80, 5);
  requests[2].image = pattern(96, 80, 7);
  requests[2].guidance_scale = 1.0;
  std::vector<std::unique_ptr<Generation>> together, alone;
  for (const auto& r : requests) {
    together.push_back(begin(*pipeline, r));
    alone.push_back(begin(*pipeline, r));
    EXPECT_EQ(pipeline->batch_key(*together.back()), pipeline->batch_key(*together.front()));
  }
  std::vector<Generation*> rows;
  for (const auto& generation : together) rows.push_back(generation.get());
  for (int i = 0; i < 3; ++i) pipeline->step(rows, {})->wait();
  for (std::size_t i = 0; i < alone.size(); ++i) {
    while (!alone[i]->finished_stepping()) step(*pipeline, alone[i].get());
    EXPECT_LT(relative_error(latents_of(*together[i]), latents_of(*alone[i])), 2e-5) << i;
  }
  requests[0].more_images = {pattern(64, 64, 1)};
  EXPECT_NE(pipeline->batch_key(*begin(*pipeline, requests[0])), pipeline->batch_key(*together.front()));
}

TEST(Flux2KleinPipeline, ImageIUsesSeedPlusIAndSeesAllReferences) {
  const auto pipeline = load(kDistilled);
  auto several = request("a fox", 100, 2);
  several.image = pattern(96, 80, 3);
  several.more_images = {pattern(64, 64, 5)};
  auto one = several;
  several.num_images = 2;
  const auto generations = pipeline->begin(several, {})->take();
  ASSERT_EQ(generations.size(), 2u);
  for (std::uint64_t i = 0; i < 2; ++i) {
    one.seed = 100 + i;
    const auto alone = begin(*pipeline, one);
    step(*pipeline, generations[i].get());
    step(*pipeline, alone.get());
    EXPECT_TRUE(at::equal(latents_of(*generations[i]), latents_of(*alone)));
  }
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
  rejected("clip_skip", [](GenerationRequest& r) { r.clip_skip = 1; });
  rejected("prompt_syntax", [](GenerationRequest& r) { r.prompt_syntax = PromptSyntax::kA1111; });
  rejected("guidance_rescale", [](GenerationRequest& r) { r.guidance_rescale = 0.5; });
  rejected("num_inference_steps", [](GenerationRequest& r) { r.num_inference_steps = 0; });
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
  const auto cut_of = [&](const std::string& prompt) {
    auto generation = begin(*pipeline, request(prompt, 1, 1));
    return static_cast<DiffusionGeneration&>(*generation).prompt_cut();
  };
  EXPECT_FALSE(cut_of("a fox"));
  EXPECT_TRUE(cut_of(std::string(600, 'x')));
}

TEST(Flux2KleinPipeline, HalfPrecisionStaysNearFloat32) {
  const auto wide = load(kDistilled), half = load(kDistilled, at::kBFloat16);
  auto a = begin(*wide, request("a fox", 1, 3)), b = begin(*half, request("a fox", 1, 3));
  for (int i = 0; i < 3; ++i) {
    step(*wide, a.get());
    step(*half, b.get());
  }
  EXPECT_EQ(latents_of(*b).scalar_type(), at::kBFloat16) << "as in the reference, which draws noise in that dtype";
  EXPECT_LT(relative_error(latents_of(*b).to(at::kFloat), latents_of(*a)), 0.1);
}

TEST(Flux2KleinPipeline, PreviewHasTheSizeOfTheLatents) {
  const auto pipeline = load(kDistilled);
  auto generation = begin(*pipeline, request("a fox", 1, 2));
  step(*pipeline, generation.get());
  const auto preview = pipeline->preview(*generation);
  ASSERT_TRUE(preview.has_value());
  EXPECT_EQ(preview->width, 8);
}

// The configs of a small model do not follow from its tensors.
TEST(Flux2KleinPipeline, FilesOfComponentsDrawTheFoldersImages) {
  PipelineOptions options;
  options.placement = {.device = at::kCPU, .dtype = at::kFloat};
  options.estimate_activations = false;
  const auto pixels = [&](const std::string& path, const std::map<std::string, std::string>& components) {
    const auto pipeline = open_model("k", testing::reference(path), options, {.components = components}).load({}, {});
    auto r = request("a fox", 1, 2);
    r.image = pattern(96, 80, 3);
    return generate_image(*pipeline, r).pixels;
  };
  std::map<std::string, std::string> files{{"configs", testing::reference(kDistilled)},
                                           {"qwen", testing::reference("split/qwen.safetensors")},
                                           {"vae", testing::reference("split/vae.safetensors")}};
  EXPECT_EQ(pixels("split/klein.safetensors", files), pixels(kDistilled, {}));
  files.erase("configs");
  EXPECT_THAT(message_of([&] {
                open_model("k", testing::reference("split/klein.safetensors"), options, {.components = files});
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
  for (const auto& [dtype, bytes] : open().description.components.at(1).memory_bytes) weights += bytes;
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
  constexpr double kTolerance = 0.05;
  const auto served = open_model("k", testing::reference(kDistilled), {});
  auto json = Config::read_file(testing::reference(kDistilled) + "/transformer/config.json", "config.json");
  const std::vector<LatentSize> references{{.height = 24, .width = 32}, {.height = 16, .width = 16}};
  const auto estimated = step_bytes(Flux2Transformer2DConfig::from(json), {.rows = 1, .height = 32, .width = 24},
                                    {.device = at::kCPU, .dtype = at::kFloat}, references);
  const auto pipeline = served.load({}, {});
  auto r = request("a fox", 1, 3);
  r.width = 384;
  r.height = 512;
  r.image = pattern(512, 384, 1);
  r.more_images = {pattern(256, 256, 2)};
  auto generation = begin(*pipeline, r);
  step(*pipeline, generation.get());
  const auto allocated = testing::peak_allocated_bytes([&] { step(*pipeline, generation.get()); });
  EXPECT_NEAR(static_cast<double>(estimated) / static_cast<double>(allocated), 1.0, kTolerance) << allocated;
}

TEST(Flux2KleinPipeline, StepEstimateMatchesCpuAllocation) {
  constexpr double kTolerance = 0.05;  // the workspaces of kernels are not estimated
  PipelineOptions options;
  options.estimated_sizes = {{512, 384}};
  const auto served = open_model("k", testing::reference(kBase), options);
  const auto estimated = served.description.activations.at(1).step_bytes.at(2);
  const auto pipeline = served.load({}, {});
  auto r = request("a fox", 1, 3);
  r.width = 512;
  r.height = 384;
  auto generation = begin(*pipeline, r);
  step(*pipeline, generation.get());
  const auto allocated = testing::peak_allocated_bytes([&] { step(*pipeline, generation.get()); });
  EXPECT_NEAR(static_cast<double>(estimated) / static_cast<double>(allocated), 1.0, kTolerance) << allocated;
}

}  // namespace
}  // namespace easel
