// The second pass over a larger version of an image, against diffusers: see make_hires.py.
#include "easel/hires.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "easel/error.h"
#include "pipelines/denoising/hires_pass.h"
#include "pipelines/pipeline_cases.h"

namespace easel {
namespace {

using testing::begin;
using testing::expect_rejected;
using testing::generate_image;
using testing::load;

GenerationRequest request(HiresUpscaler upscaler) {
  GenerationRequest r;
  r.prompt = "a fox";
  r.seed = 3;
  r.num_inference_steps = 4;
  r.width = r.height = 64;
  r.hires = HiresPass{.width = 128, .height = 128, .upscaler = upscaler, .strength = 0.5};
  return r;
}

TEST(Hires, EveryWayMatchesDiffusers) {
  std::set<std::string> ways;
  for (const auto& c : testing::cases()) ways.insert(c.at("hires_upscaler").get<std::string>());
  for (const auto& row : kHiresUpscalers) EXPECT_TRUE(ways.contains(std::string(row.name))) << row.name;
  EXPECT_EQ(testing::expect_all_cases_agree(), 14);
}

TEST(Hires, ProgressCountsBothPasses) {
  auto pipeline = load("sd");
  auto generation = begin(*pipeline, request(HiresUpscaler::kLatent));
  EXPECT_EQ(generation->progress().steps_total, 4 + 2);
  EXPECT_EQ(generation->completed_passes(), 0);
  const auto first_key = pipeline->batch_key(*generation);
  for (int i = 0; i < 4; ++i) testing::step(*pipeline, generation.get());
  EXPECT_EQ(generation->completed_passes(), 1);
  EXPECT_EQ(generation->progress().steps_done, 4);
  EXPECT_EQ(generation->progress().steps_total, 6);
  EXPECT_FALSE(generation->finished_stepping());
  EXPECT_NE(pipeline->batch_key(*generation), first_key) << "the second pass shares steps with images of its own size";
  EXPECT_EQ(pipeline->preview(*generation), std::nullopt) << "before the first step of the second pass";
}

// Images of one request, and of several, share steps and do not change each other.
TEST(Hires, SharedStepsMakeTheSameImages) {
  auto pipeline = load("sd");
  auto asked = request(HiresUpscaler::kLanczos);
  const auto alone = generate_image(*pipeline, asked);
  asked.num_images = 2;
  auto ticket = pipeline->begin(asked, {});
  ticket->wait();
  auto pair = ticket->take();
  Generation* const rows[] = {pair[0].get(), pair[1].get()};
  while (!rows[0]->finished_stepping()) {
    auto stepped = pipeline->step(rows, {});
    stepped->wait();
  }
  const auto shared = testing::finish(*pipeline, rows[0]);
  ASSERT_EQ(shared.pixels.size(), alone.pixels.size());
  std::size_t apart = 0;
  for (std::size_t i = 0; i < shared.pixels.size(); ++i) {
    const auto difference = std::abs(int{shared.pixels[i]} - int{alone.pixels[i]});
    apart += difference > 2;
  }
  EXPECT_LT(apart, shared.pixels.size() / 100) << "batches change the last bits only";
}

// A step that is stopped while the image is enlarged can be repeated.
TEST(Hires, AStoppedChangeOfPassCanBeRepeated) {
  auto pipeline = load("sd");
  const auto asked = request(HiresUpscaler::kLanczos);
  const auto undisturbed = generate_image(*pipeline, asked);
  const auto before_the_change = [&] {
    auto generation = begin(*pipeline, asked);
    for (int i = 0; i < 3; ++i) testing::step(*pipeline, generation.get());
    return generation;
  };
  int calls = 0;
  const auto counted = before_the_change();
  Generation* row = counted.get();
  pipeline->step({&row, 1}, [&calls] { return ++calls < 0; })->wait();
  const int last = calls;  // while the image is decoded or encoded, after the denoiser
  const auto generation = before_the_change();
  row = generation.get();
  calls = 0;
  EXPECT_THROW(pipeline->step({&row, 1}, [&] { return ++calls == last; }), Error);
  EXPECT_EQ(generation->progress().steps_done, 3);
  while (!generation->finished_stepping()) testing::step(*pipeline, generation.get());
  EXPECT_EQ(testing::finish(*pipeline, generation.get()).pixels, undisturbed.pixels);
}

TEST(Hires, TheResultHasTheAskedForSize) {
  auto pipeline = load("sd");
  for (const auto upscaler : {HiresUpscaler::kLatent, HiresUpscaler::kNearest}) {
    auto asked = request(upscaler);
    asked.width = 60;  // not a whole number of cells
    asked.hires->width = 101;
    asked.hires->height = 75;
    const auto image = generate_image(*pipeline, asked);
    EXPECT_EQ(image.width, 101);
    EXPECT_EQ(image.height, 75);
  }
}

TEST(Hires, AnotherShapeIsCutFromTheMiddle) {
  auto wide = request(HiresUpscaler::kLanczos);
  wide.hires->height = 64;
  const Canvas first{.width = 64, .height = 64, .generated_width = 64, .generated_height = 64};
  const Canvas second{.width = 128, .height = 64, .generated_width = 128, .generated_height = 64};
  const auto plan = plan_hires(wide, first, second);
  EXPECT_EQ(plan.enlarged_width, 128);
  EXPECT_EQ(plan.enlarged_height, 128);
  Image bands{.width = 64, .height = 64, .pixels = std::vector<std::uint8_t>(64 * 64 * 3, 0)};
  std::fill(bands.pixels.begin() + 16 * 64 * 3, bands.pixels.begin() + 48 * 64 * 3, std::uint8_t{255});
  auto nearest = plan;
  nearest.upscaler = HiresUpscaler::kNearest;
  const auto cut = enlarge_image(bands, nearest);
  EXPECT_EQ(cut.pixels, std::vector<std::uint8_t>(128 * 64 * 3, 255)) << "the middle half is white";
}

TEST(Hires, WhatCannotBeMadeIsRejected) {
  auto pipeline = load("sd");
  auto asked = request(HiresUpscaler::kLatent);
  asked.hires->strength = 0.1;  // leaves no step of four
  expect_rejected(*pipeline, asked, "strength");
  asked = request(HiresUpscaler::kLatent);
  asked.image = std::make_shared<Image>(Image{.width = 8, .height = 8, .pixels = std::vector<std::uint8_t>(192, 9)});
  expect_rejected(*pipeline, asked, "hires");
}

}  // namespace
}  // namespace easel
