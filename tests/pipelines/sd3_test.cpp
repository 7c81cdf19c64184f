// Stable Diffusion 3 and 3.5 against diffusers: latents after every step, then pixels; and the rules of a pipeline for
// its requests.
#include <ATen/ops/equal.h>
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

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
using ::testing::HasSubstr;
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
  std::string long_prompt;
  for (int i = 0; i < 40; ++i) long_prompt += "a whale on a blue background, ";
  std::vector<GenerationRequest> requests{request("a fox", 1, 3), request(long_prompt, 2, 5), request("", 3, 4),
                                          request("a cat", 4, 3), request("a dog", 5, 4)};
  requests[1].scheduler = "flow_euler_karras";
  requests[2].guidance_scale = 1.0;
  requests[3].image = plain(128, 128, 90);
  requests[4].negative_prompt = long_prompt;
  requests[4].image = plain(128, 128, 40);
  requests[4].mask = plain(128, 128, 255);
  return requests;
}

TEST(StableDiffusion3Pipeline, DifferentRequestsShareACall) {
  const auto pipeline = load("sd35");
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

TEST(StableDiffusion3Pipeline, InterleavedImagesAreBitIdenticalToImagesGeneratedAlone) {
  const auto pipeline = load("sd35");
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

TEST(StableDiffusion3Pipeline, ImageIUsesSeedPlusI) {
  const auto pipeline = load("sd35");
  auto several = request("a fox", 100, 2);
  several.num_images = 2;
  const auto generations = pipeline->begin(several, {})->take();
  ASSERT_EQ(generations.size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    auto alone = begin(*pipeline, request("a fox", 100 + i, 2));
    step(*pipeline, generations[i].get());
    step(*pipeline, alone.get());
    EXPECT_TRUE(at::equal(latents_of(*generations[i]), latents_of(*alone)));
  }
}

TEST(StableDiffusion3Pipeline, EveryScaleAboveOneGuides) {
  const auto pipeline = load("sd3");
  auto r = request("a fox", 1, 2);
  for (const auto& [scale, rows] : {std::pair{0.0, 1}, {1.0, 1}, {1.5, 2}, {7.0, 2}}) {
    r.guidance_scale = scale;
    EXPECT_EQ(begin(*pipeline, r)->rows(), rows) << scale;
  }
}

TEST(StableDiffusion3Pipeline, SizesAreRoundedUpToSixteenAndCropped) {
  const auto pipeline = load("sd3");
  auto r = request("a fox", 1, 1);
  r.width = 100;
  r.height = 72;
  auto generation = begin(*pipeline, r);
  EXPECT_EQ(latents_of(*generation).sizes(), (at::IntArrayRef{1, 16, 10, 14}));
  step(*pipeline, generation.get());
  const auto image = finish(*pipeline, generation.get());
  EXPECT_EQ(image.width, 100);
  EXPECT_EQ(image.height, 72);
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
  r.clip_skip = 3;
  expect_rejected(*pipeline, r, "clip_skip");
  r = request("a fox", 1, 2);
  r.prompt_syntax = PromptSyntax::kA1111;
  expect_rejected(*pipeline, r, "prompt_syntax");
  r = request("a fox", 1, 2);
  r.guidance_rescale = 0.5;
  expect_rejected(*pipeline, r, "guidance_rescale");
  r = request("a fox", 1, 2);
  r.width = 29 * 16;
  expect_rejected(*pipeline, r, "size");
  r = request("a fox", 1, 0);
  expect_rejected(*pipeline, r, "num_inference_steps");
}

TEST(StableDiffusion3Pipeline, CutIsWhatTheEncoderThatReadsMostLeavesOut) {
  const auto with_t5 = load("sd35"), without = load("sd3");
  const auto cut_of = [&](Pipeline& pipeline, const std::string& prompt) {
    auto generation = begin(pipeline, request(prompt, 1, 1));
    return static_cast<DiffusionGeneration&>(*generation).prompt_cut();
  };
  std::string words;
  for (int i = 0; i < 30; ++i) words += "a fox, ";
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
  const auto wide = load("sd35"), half = load("sd35", at::kBFloat16);
  auto r = request("a fox", 1, 3);
  r.guidance_scale = 1.5;  // guidance multiplies the error
  auto a = begin(*wide, r), b = begin(*half, r);
  for (int i = 0; i < 3; ++i) {
    step(*wide, a.get());
    step(*half, b.get());
  }
  EXPECT_EQ(latents_of(*b).scalar_type(), at::kBFloat16);
  EXPECT_LT(relative_error(latents_of(*b).to(at::kFloat), latents_of(*a)), 0.1);
}

TEST(StableDiffusion3Pipeline, PreviewHasTheSizeOfTheLatents) {
  const auto pipeline = load("sd3");
  auto generation = begin(*pipeline, request("a fox", 1, 2));
  step(*pipeline, generation.get());
  const auto preview = pipeline->preview(*generation);
  ASSERT_TRUE(preview.has_value());
  EXPECT_EQ(preview->width, 16);
}

TEST(StableDiffusion3Pipeline, StepEstimateMatchesCpuAllocation) {
  constexpr double kTolerance = 0.05;  // the workspaces of kernels are not estimated
  for (const char* folder : {"sd3", "sd35"}) {
    PipelineOptions options;
    options.estimated_sizes = {{416, 320}};
    const auto served = open_model("m", testing::reference(folder), options);
    const auto estimated = served.description.activations.at(1).step_bytes.at(2);
    const auto pipeline = served.load({}, {});
    auto r = request("a fox", 1, 3);
    r.width = 416;
    r.height = 320;
    auto generation = begin(*pipeline, r);
    step(*pipeline, generation.get());
    const auto allocated = testing::peak_allocated_bytes([&] { step(*pipeline, generation.get()); });
    EXPECT_NEAR(static_cast<double>(estimated) / static_cast<double>(allocated), 1.0, kTolerance)
        << folder << ": " << allocated;
  }
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
