// FLUX.1 against diffusers: latents after every step, then pixels; and the rules of a pipeline for its requests.
#include <ATen/ops/equal.h>
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <tuple>

#include "pipelines/denoising/diffusion_pipeline.h"
#include "pipelines/pipeline_cases.h"
#include "pipelines/registry.h"
#include "support/counting_allocator.h"
#include "weights/stores/component_store.h"

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

GenerationRequest request(const std::string& prompt, std::uint64_t seed, std::int64_t steps) {
  GenerationRequest r;
  r.prompt = prompt;
  r.seed = seed;
  r.num_inference_steps = steps;
  r.width = r.height = 128;
  return r;
}

std::shared_ptr<const Image> plain(int width, int height, std::uint8_t value) {
  return std::make_shared<Image>(
      Image{.width = width,
            .height = height,
            .pixels = std::vector<std::uint8_t>(static_cast<std::size_t>(width) * height * 3, value)});
}

TEST(FluxPipeline, LatentsAndPixelsMatchDiffusers) {
  EXPECT_GE(testing::expect_all_cases_agree(), 35);
}

// Requests with prompts of different lengths, steps, schedules, starts and guidance.
std::vector<GenerationRequest> mixed_requests() {
  std::string long_prompt;
  for (int i = 0; i < 12; ++i) long_prompt += "a whale on a blue background, ";
  std::vector<GenerationRequest> requests{request("a fox", 1, 3), request(long_prompt, 2, 5), request("", 3, 4),
                                          request("a cat", 4, 3), request("a dog", 5, 4)};
  requests[1].scheduler = "flow_euler_karras";
  requests[2].guidance_scale = 1.5;
  requests[3].image = plain(128, 128, 90);
  requests[4].negative_prompt = long_prompt;
  requests[4].true_cfg_scale = 4.0;
  requests[4].image = plain(128, 128, 40);
  requests[4].mask = plain(128, 128, 255);
  return requests;
}

TEST(FluxPipeline, RequestsOfAllKindsShareACall) {
  const auto pipeline = load("flux_dev");
  std::vector<std::unique_ptr<Generation>> together, alone;
  for (const auto& r : mixed_requests()) {
    together.push_back(begin(*pipeline, r));
    alone.push_back(begin(*pipeline, r));
    EXPECT_EQ(pipeline->batch_key(*together.back()), pipeline->batch_key(*together.front()));
  }
  std::vector<Generation*> rows;
  do {
    rows.clear();
    for (const auto& generation : together) {
      if (!generation->finished_stepping()) rows.push_back(generation.get());
    }
    if (!rows.empty()) pipeline->step(rows, {})->wait();
  } while (!rows.empty());
  for (std::size_t i = 0; i < alone.size(); ++i) {
    while (!alone[i]->finished_stepping()) step(*pipeline, alone[i].get());
    EXPECT_LT(relative_error(latents_of(*together[i]), latents_of(*alone[i])), 2e-5) << i;
  }
}

TEST(FluxPipeline, InterleavedImagesAreBitIdenticalToImagesGeneratedAlone) {
  const auto pipeline = load("flux_dev");
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

TEST(FluxPipeline, ImageIUsesSeedPlusI) {
  const auto pipeline = load("flux_schnell");
  auto several = request("a fox", 100, 2);
  several.num_images = 2;
  const auto generations = pipeline->begin(several, {})->take();
  ASSERT_EQ(generations.size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_TRUE(at::equal(latents_of(*generations[i]), latents_of(*begin(*pipeline, request("a fox", 100 + i, 2)))));
  }
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
  r.clip_skip = 1;
  expect_rejected(*pipeline, r, "clip_skip");
  r = request("a fox", 1, 2);
  r.prompt_syntax = PromptSyntax::kA1111;
  expect_rejected(*pipeline, r, "prompt_syntax");
  r = request("a fox", 1, 2);
  r.guidance_rescale = 0.5;
  expect_rejected(*pipeline, r, "guidance_rescale");
  r = request("a fox", 1, 2);
  r.true_cfg_scale = std::numeric_limits<double>::infinity();
  expect_rejected(*pipeline, r, "true_cfg_scale");
  r = request("a fox", 1, 0);
  expect_rejected(*pipeline, r, "num_inference_steps");
}

TEST(FluxPipeline, PromptsAreCutWhereT5CutsThem) {
  const auto pipeline = load("flux_schnell");
  const auto cut_of = [&](const std::string& prompt) {
    auto generation = begin(*pipeline, request(prompt, 1, 1));
    return static_cast<DiffusionGeneration&>(*generation).prompt_cut();
  };
  const auto words = [](int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += "x ";
    return text;
  };
  EXPECT_FALSE(cut_of(words(150))) << "longer than what CLIP reads";
  EXPECT_TRUE(cut_of(words(600)));
}

TEST(FluxPipeline, HalfPrecisionStaysNearFloat32) {
  const auto wide = load("flux_dev"), half = load("flux_dev", at::kBFloat16);
  auto a = begin(*wide, request("a fox", 1, 3)), b = begin(*half, request("a fox", 1, 3));
  EXPECT_TRUE(at::equal(latents_of(*a).to(at::kBFloat16), latents_of(*b))) << "the noise is float32's, rounded";
  for (int i = 0; i < 3; ++i) {
    step(*wide, a.get());
    step(*half, b.get());
  }
  EXPECT_EQ(latents_of(*b).scalar_type(), at::kBFloat16);
  const auto own = open_component(testing::kReferenceFolder, "bfloat16")->read("distance").item<double>();
  EXPECT_LT(relative_error(latents_of(*b).to(at::kFloat), latents_of(*a)), 2 * own) << "the reference's own is " << own;
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
  const auto pipeline = load("flux_schnell");
  auto generation = begin(*pipeline, request("a fox", 1, 2));
  step(*pipeline, generation.get());
  const auto preview = pipeline->preview(*generation);
  ASSERT_TRUE(preview.has_value());
  EXPECT_EQ(preview->width, 16);
}

TEST(FluxPipeline, StepEstimateMatchesCpuAllocation) {
  constexpr double kTolerance = 0.05;  // the workspaces of kernels are not estimated
  PipelineOptions options;
  options.estimated_sizes = {{512, 384}};
  const auto served = open_model("f", testing::reference("flux_dev"), options);
  const auto estimated = served.description.activations.at(1).step_bytes.at(2);
  const auto pipeline = served.load({}, {});
  auto r = request("a fox", 1, 3);
  r.negative_prompt = "a cat";
  r.true_cfg_scale = 2.0;
  r.width = 512;
  r.height = 384;
  auto generation = begin(*pipeline, r);
  step(*pipeline, generation.get());
  const auto allocated = testing::peak_allocated_bytes([&] { step(*pipeline, generation.get()); });
  EXPECT_NEAR(static_cast<double>(estimated) / static_cast<double>(allocated), 1.0, kTolerance) << allocated;
}

}  // namespace
}  // namespace easel
