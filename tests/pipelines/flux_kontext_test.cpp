// The rules of FLUX.1 Kontext for its requests. Its images are compared with diffusers' by flux_test.cpp.
#include <ATen/ops/equal.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipelines/family_cases.h"
#include "pipelines/pipeline_cases.h"
#include "pipelines/starts/from_kontext_image.h"

namespace easel {
namespace {

using testing::begin;
using testing::expect_rejected;
using testing::generate_image;
using testing::latents_of;
using testing::load;
using testing::plain;
using testing::relative_error;
using testing::step;

GenerationRequest edit(std::uint64_t seed, std::shared_ptr<const Image> image) {
  GenerationRequest r;
  r.prompt = "a fox";
  r.seed = seed;
  r.num_inference_steps = 2;
  r.width = 192;
  r.height = 128;
  r.image = std::move(image);
  return r;
}

std::pair<int, int> size_for(int width, int height, int cell = 16) {
  return kontext_size({.width = width, .height = height, .pixels = {}}, cell);
}

TEST(KontextSize, HasTheProportionsOfTheImage) {
  EXPECT_EQ(size_for(512, 512), std::pair(1024, 1024));
  EXPECT_EQ(size_for(4000, 3000), std::pair(1184, 880));
  EXPECT_EQ(size_for(20, 2000), std::pair(672, 1568));
  EXPECT_EQ(size_for(2000, 20), std::pair(1568, 672));
  EXPECT_EQ(size_for(512, 512, 64), std::pair(1024, 1024));
  EXPECT_EQ(size_for(4000, 3000, 64), std::pair(1152, 832)) << "whole cells";
}

TEST(KontextSize, FollowsTheEdgesInWholeCells) {
  // 31 x 32 pixels are 16 x 32 in whole cells.
  EXPECT_EQ(size_for(31, 32), size_for(16, 32));
  EXPECT_NE(size_for(31, 32), size_for(32, 32));
}

TEST(FluxKontext, TheSizeIsThatOfTheRequestAndNotOfTheImage) {
  const auto pipeline = load("flux_kontext");
  const auto image = generate_image(*pipeline, edit(1, plain(300, 500, 90)));
  EXPECT_EQ(image.width, 192);
  EXPECT_EQ(image.height, 128);
  const auto& d = pipeline->description();
  EXPECT_EQ(d.family, "flux-kontext");
  EXPECT_TRUE(d.keeps_input_sizes);
  EXPECT_EQ(d.max_reference_pixels, 1024 * 1024);
  EXPECT_EQ(d.min_reference_pixels, d.max_reference_pixels) << "smaller ones are enlarged";
  EXPECT_EQ(d.default_steps, 28);
  auto without_size = edit(1, plain(300, 500, 90));
  without_size.width.reset();
  without_size.height.reset();
  EXPECT_EQ(latents_of(*begin(*pipeline, without_size)).size(2), d.native_height / 32) << "the autoencoder's cells";
}

TEST(FluxKontext, RequestsWithReferencesOfOneSizeShareACall) {
  const auto pipeline = load("flux_kontext");
  const auto a = edit(1, plain(100, 100, 30)), b = edit(2, plain(200, 200, 200));
  auto first = begin(*pipeline, a), second = begin(*pipeline, b);
  EXPECT_EQ(pipeline->batch_key(*first), pipeline->batch_key(*second));
  EXPECT_NE(pipeline->batch_key(*first), pipeline->batch_key(*begin(*pipeline, edit(1, plain(100, 300, 30)))));
  EXPECT_NE(pipeline->batch_key(*first), pipeline->batch_key(*begin(*pipeline, edit(1, nullptr))));
  auto alone = begin(*pipeline, b);
  std::vector<Generation*> rows{first.get(), second.get()};
  pipeline->step(rows, {})->wait();
  step(*pipeline, alone.get());
  EXPECT_LT(relative_error(latents_of(*second), latents_of(*alone)), 2e-5);
}

TEST(FluxKontext, ImageIUsesSeedPlusI) {
  const auto pipeline = load("flux_kontext");
  auto several = edit(100, plain(90, 70, 50));
  several.num_images = 2;
  auto generations = pipeline->begin(several, {})->take();
  ASSERT_EQ(generations.size(), 2u);
  auto alone = begin(*pipeline, edit(101, plain(90, 70, 50)));
  step(*pipeline, generations[1].get());
  step(*pipeline, alone.get());
  EXPECT_TRUE(at::equal(latents_of(*generations[1]), latents_of(*alone)));
}

TEST(FluxKontext, FieldsThatNeedOthersAreRejectedWithoutThem) {
  const auto pipeline = load("flux_kontext");
  auto r = edit(1, plain(100, 100, 30));
  r.strength = 0.5;
  expect_rejected(*pipeline, r, "strength");
  r = edit(1, nullptr);
  r.mask = plain(100, 100, 255);
  expect_rejected(*pipeline, r, "mask");
  expect_rejected(*pipeline, edit(1, plain(100, 60, 30)), "image");
}

TEST(FluxKontext, SecondImageNeedsAMask) {
  const auto pipeline = load("flux_kontext");
  EXPECT_TRUE(pipeline->description().second_image_needs_mask);
  EXPECT_EQ(pipeline->description().max_input_images, 2);
  auto r = edit(1, plain(100, 100, 30));
  r.more_images = {plain(100, 300, 90)};
  expect_rejected(*pipeline, r, "image");
  r.mask = plain(100, 100, 255);
  const auto generation = begin(*pipeline, r);
  EXPECT_EQ(latents_of(*generation).sizes(), (at::IntArrayRef{1, 4, 32, 32})) << "the size of the first image";
  r.more_images = {plain(100, 60, 90)};
  expect_rejected(*pipeline, r, "image");
  r.more_images = {plain(100, 100, 90), plain(100, 100, 90)};
  expect_rejected(*pipeline, r, "image");
}

}  // namespace
}  // namespace easel
