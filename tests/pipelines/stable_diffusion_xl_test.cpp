// SDXL against diffusers: see make_stable_diffusion_xl.py.
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "pipelines/pipeline_cases.h"
#include "pipelines/registry.h"

namespace easel {
namespace {

using testing::begin;
using testing::generate_image;
using testing::latents_of;
using testing::load;
using testing::reference;
using testing::relative_error;
using testing::step;

TEST(StableDiffusionXL, LatentsAndPixelsMatchDiffusers) {
  EXPECT_EQ(testing::expect_all_cases_agree(), 18);
}

GenerationRequest request(const std::string& prompt, std::uint64_t seed, std::int64_t steps) {
  GenerationRequest r;
  r.prompt = prompt;
  r.seed = seed;
  r.num_inference_steps = steps;
  return r;
}

TEST(StableDiffusionXL, DescriptionNeedsNoWeights) {
  const auto d = open_model("xl", reference("xl"), {}).description;
  EXPECT_EQ(d.family, "stable-diffusion-xl");
  EXPECT_EQ(d.native_width, 128);
  EXPECT_EQ(d.default_guidance_scale, 5.0);
  EXPECT_EQ(d.default_scheduler, "euler");
  EXPECT_EQ(std::ranges::count(d.unused_fields, "original_size"), 0);
  EXPECT_EQ(std::ranges::count(d.unused_fields, "aesthetic_score"), 1);
  EXPECT_EQ(d.max_clip_skip, 2) << "the smaller encoder has three layers, and the last is never used";
  EXPECT_EQ(d.weight_bytes, 4 * d.parameters);
  const auto half =
      open_model("xl", reference("xl"), {.placement = {.device = at::kCPU, .dtype = at::kHalf}}).description;
  EXPECT_EQ(half.parameters, d.parameters);
  EXPECT_GT(half.memory_bytes, d.memory_bytes / 2) << "the autoencoder stays in float32";
  EXPECT_LT(half.memory_bytes, d.memory_bytes);
}

TEST(StableDiffusionXL, OneCallAdvancesEachRequestByOneStep) {
  auto pipeline = load("xl");
  auto a = request("a fox", 1, 3), b = request("a whale on pink", 2, 7), c = request("a cat", 3, 4);
  b.negative_prompt = "a dog";
  b.scheduler = "dpmpp_2m";
  c.guidance_scale = 1.0;
  c.micro_conditioning.original_size = {300, 500};
  std::vector<std::unique_ptr<Generation>> together, alone;
  std::vector<Generation*> rows;
  for (const auto& r : {a, b, c}) {
    together.push_back(begin(*pipeline, r));
    alone.push_back(begin(*pipeline, r));
    rows.push_back(together.back().get());
    EXPECT_EQ(pipeline->batch_key(*rows.back()), pipeline->batch_key(*rows.front()));
  }
  EXPECT_EQ(rows[2]->rows(), 1);
  pipeline->step(rows, {})->wait();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    step(*pipeline, alone[i].get());
    EXPECT_LT(relative_error(latents_of(*rows[i]), latents_of(*alone[i])), 1e-5) << i;
  }
}

TEST(StableDiffusionXL, EmptyNegativePromptIsZerosOnlyIfTheCheckpointSaysSo) {
  const auto after_a_step = [](Pipeline& pipeline, const std::string& negative) {
    auto r = request("a fox", 1, 2);
    r.negative_prompt = negative;
    auto generation = begin(pipeline, r);
    step(pipeline, generation.get());
    const auto& own = static_cast<const DiffusionGeneration&>(*generation);
    return own.phase().conditioning.prompt_embeds[0];
  };
  auto zeros = load("xl"), encodes = load("xl_statistics");
  EXPECT_EQ(after_a_step(*zeros, "").abs().max().item<float>(), 0);
  EXPECT_GT(after_a_step(*zeros, " ").abs().max().item<float>(), 0);
  EXPECT_GT(after_a_step(*encodes, "").abs().max().item<float>(), 0);
}

double mean_distance(const Image& a, const Image& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.pixels.size(); ++i) sum += std::abs(a.pixels[i] - b.pixels[i]);
  return sum / static_cast<double>(a.pixels.size());
}

// In float16 this autoencoder's first activations are infinite, and the image would be black.
TEST(StableDiffusionXL, ForceUpcastRunsTheAutoencoderInFloat32) {
  const auto r = request("a fox on a blue background", 7, 3);
  const auto full = generate_image(*load("xl_overflowing"), r);
  const auto half = generate_image(*load("xl_overflowing", at::kHalf), r);
  EXPECT_LT(mean_distance(full, half), 4.0) << "mean distance of 8-bit values";
}

TEST(StableDiffusionXL, ClipSkipIsCheckedAgainstTheSmallerEncoder) {
  auto pipeline = load("xl");
  auto r = request("a fox", 1, 2);
  r.clip_skip = 3;
  try {
    pipeline->begin(r, {});
    FAIL() << "was accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
    EXPECT_EQ(e.param(), "clip_skip");
  }
}

}  // namespace
}  // namespace easel
