// Image to image, inpainting and the refiner against diffusers: see make_image_to_image.py.
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "image/mask_region.h"
#include "pipelines/families/families.h"
#include "pipelines/families/warm_up.h"
#include "pipelines/family_cases.h"
#include "pipelines/images/canvas.h"
#include "pipelines/images/pixels.h"
#include "pipelines/pipeline_cases.h"
#include "pipelines/registry.h"

namespace easel {
namespace {

using testing::begin;
using testing::expect_rejected;
using testing::generate_image;
using testing::latents_of;
using testing::load;
using testing::plain;
using testing::reference;
using testing::step;

TEST(ImageToImage, LatentsAndPixelsMatchDiffusers) {
  EXPECT_EQ(testing::expect_all_cases_agree(), 86);
}

// As it is done on a GPU while a model is loaded. The refiner does 30 % of an image's steps.
TEST(ImageToImage, ModelsThatNeedAnImageCanBeWarmedUp) {
  for (const char* folder : {"sd_inpainting", "refiner"}) EXPECT_NO_THROW(warm_up(*load(folder))) << folder;
}

GenerationRequest request(std::int64_t steps) {
  GenerationRequest r;
  r.prompt = "a fox";
  r.seed = 1;
  r.num_inference_steps = steps;
  return r;
}

TEST(ImageToImage, InvalidValuesNameTheField) {
  auto sd = load("sd"), inpainting = load("sd_inpainting"), refiner = load("refiner");
  auto r = request(4);
  expect_rejected(*inpainting, r, "mask");
  expect_rejected(*refiner, r, "image");
  r.mask = plain(128, 128, 255);
  expect_rejected(*sd, r, "mask");
  r.mask = nullptr;
  r.denoising_end = 0.5;
  expect_rejected(*sd, r, "denoising_end");
  r.denoising_end.reset();
  r.image = plain(128, 128, 100);
  expect_rejected(*inpainting, r, "mask");
  for (const double strength : {-0.1, 1.1, 0.2}) {  // the last leaves no step of four
    r.strength = strength;
    expect_rejected(*sd, r, "strength");
  }
  r.strength = 0.5;
  auto broken = *r.image;
  broken.pixels.pop_back();
  r.image = std::make_shared<Image>(broken);
  expect_rejected(*sd, r, "image");
}

TEST(ImageToImage, UnsupportedCustomSchedulesNameTheField) {
  auto sd = load("sd");
  auto r = request(4);
  r.scheduler = "euler";
  r.timesteps = {900, 500};
  r.sigmas = {10, 1, 0};
  expect_rejected(*sd, r, "sigmas");  // one of the two
  r.sigmas.clear();
  for (const char* takes_none : {"ddim", "unipc", "edm_euler"}) {
    r.scheduler = takes_none;
    expect_rejected(*sd, r, "timesteps");
  }
  r.scheduler = "heun";
  r.image = plain(64, 64, 90);
  r.strength = 0.4;  // three evaluations, of which the last one is half a step
  expect_rejected(*sd, r, "strength");
  r.timesteps.clear();
  r.sigmas = {10, 1, 0};
  expect_rejected(*sd, r, "sigmas");
}

TEST(ImageToImage, SigmasWhoseNoiseFloat16CannotHoldNameTheField) {
  auto r = request(2);
  r.scheduler = "euler";
  r.sigmas = {1e6, 1};
  expect_rejected(*load("sd", at::kHalf), r, "sigmas");
  EXPECT_EQ(load("sd")->begin(r, {})->take().size(), 1u) << "float32 can hold it";
  r.sigmas = {1e3, 1};
  EXPECT_EQ(load("sd", at::kHalf)->begin(r, {})->take().size(), 1u);
}

TEST(ImageToImage, CustomScheduleOverridesStepCount) {
  auto sd = load("sd");
  auto r = request(40);
  r.width = r.height = 64;
  r.scheduler = "euler";
  r.timesteps = {900, 500, 20};
  EXPECT_EQ(begin(*sd, r)->progress().steps_total, 3);
  r.timesteps.clear();
  r.sigmas = {10, 1, 0};
  EXPECT_EQ(begin(*sd, r)->progress().steps_total, 2);
}

TEST(ImageToImage, OutputDefaultsToTheSourceImagesSize) {
  auto pipeline = load("sd");
  auto r = request(4);
  r.image = plain(101, 60, 100);
  auto image = generate_image(*pipeline, r);
  EXPECT_EQ(image.width, 101);
  EXPECT_EQ(image.height, 60);
  r.width = r.height = 64;
  image = generate_image(*pipeline, r);
  EXPECT_EQ(image.width, 64);
  EXPECT_EQ(image.height, 64);
}

TEST(ImageToImage, DescriptionsReportRequiredInputs) {
  const auto describe = [](const char* folder) { return open_model("m", reference(folder), {}).description; };
  EXPECT_FALSE(describe("sd").needs_image);
  EXPECT_EQ(describe("sd").default_strength, 0.8);
  EXPECT_TRUE(describe("sd_inpainting").needs_mask);
  EXPECT_TRUE(describe("sd_inpainting").needs_image);
  EXPECT_TRUE(describe("refiner").needs_image);
  EXPECT_FALSE(describe("refiner").needs_mask);
  EXPECT_EQ(describe("refiner").default_strength, 0.3);
  EXPECT_FALSE(describe("xl_with_refiner").needs_image);
  EXPECT_EQ(describe("lcm").default_steps, 4);
  EXPECT_EQ(describe("lcm").default_guidance_scale, 8.5);
  EXPECT_GT(describe("xl_with_refiner").memory_bytes, describe("xl").memory_bytes);
}

TEST(ImageToImage, RefinerHasItsOwnBatchKeyAndTakesOverBetweenSteps) {
  auto pipeline = load("xl_with_refiner");
  auto generation = begin(*pipeline, request(6));  // the manifest says half of the 1000 noise levels
  std::set<std::string> keys;
  std::vector<std::size_t> denoisers;
  while (!generation->finished_stepping()) {
    keys.insert(pipeline->batch_key(*generation));
    denoisers.push_back(static_cast<const DiffusionGeneration&>(*generation).phase().denoiser);
    step(*pipeline, generation.get());
  }
  EXPECT_EQ(keys.size(), 2u);
  EXPECT_EQ(denoisers, (std::vector<std::size_t>{0, 0, 1, 1, 1, 1})) << "timesteps 831, 665 | 499, 333, 167, 1";
  EXPECT_EQ(generation->progress().steps_total, 6);
  EXPECT_EQ(generation->progress().steps_done, 6);
}

TEST(ImageToImage, DenoisingEndOfOneSkipsTheRefiner) {
  auto both = load("xl_with_refiner"), base = load("xl");
  auto r = request(3);
  const auto alone = generate_image(*base, r);
  r.denoising_end = 1.0;
  EXPECT_EQ(generate_image(*both, r).pixels, alone.pixels);
}

/// Requests that have only the generated size in common. @param masked_only  for an inpainting UNet
std::vector<GenerationRequest> mixed_requests(bool masked_only) {
  auto noise = request(5), image = request(4), masked = request(6), redrawn = request(3);
  noise.width = noise.height = 64;
  image.image = plain(61, 58, 90);
  image.guidance_scale = 1.0;
  masked.image = redrawn.image = plain(64, 64, 40);
  masked.mask = redrawn.mask = plain(64, 64, 255);
  masked.strength = 0.9;
  masked.negative_prompt = "a dog";
  masked.micro_conditioning.original_size = {300, 500};
  redrawn.strength = 1.0;
  redrawn.scheduler = "euler_ancestral";
  if (masked_only) return {masked, redrawn};
  return {noise, image, masked, redrawn};
}

TEST(ImageToImage, RowsOfACallMayDifferInAllButSize) {
  for (const std::string folder : {"sd", "sd2", "sd_inpainting", "xl", "xl_inpainting", "lcm"}) {
    SCOPED_TRACE(folder);
    testing::expect_shared_calls_match(*load(folder), mixed_requests(folder.ends_with("inpainting")));
  }
}

TEST(ImageToImage, UnmaskedLatentsEqualTheSource) {
  auto pipeline = load("sd");
  auto r = request(4);
  r.image = plain(64, 64, 90);
  r.mask = plain(64, 64, 0);  // nothing is to be redrawn
  auto generation = begin(*pipeline, r);
  const auto kept = static_cast<const DiffusionGeneration&>(*generation).kept->latents;
  while (!generation->finished_stepping()) step(*pipeline, generation.get());
  EXPECT_TRUE(at::equal(latents_of(*generation), kept));
}

/// A mask that selects the columns from `left` on, with one gray column before them.
std::shared_ptr<const Image> right_part(int width, int height, int left) {
  auto mask = *plain(width, height, 0);
  for (int y = 0; y < height; ++y) {
    for (int x = left - 1; x < width; ++x) {
      const auto value = static_cast<std::uint8_t>(x < left ? 100 : 255);
      std::fill_n(mask.pixels.begin() + (static_cast<std::ptrdiff_t>(y) * width + x) * 3, 3, value);
    }
  }
  return std::make_shared<Image>(std::move(mask));
}

/// A gradient, so that no two columns or rows are equal.
std::shared_ptr<const Image> slope(int width, int height) {
  auto image = *plain(width, height, 0);
  for (std::size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<std::uint8_t>(i * 7 % 251);
  return std::make_shared<Image>(std::move(image));
}

TEST(ImageToImage, KeptPixelsAreTheInputAsItWasResampled) {
  for (const std::string folder : {"sd", "sd_inpainting"}) {
    SCOPED_TRACE(folder);
    auto pipeline = load(folder);
    auto r = request(3);
    r.image = slope(64, 48);
    r.mask = right_part(64, 48, 40);
    for (const bool resized : {false, true}) {
      if (resized) {
        r.width = 90;  // drawn as 96 x 64, of which the middle is cut out
        r.height = 64;
      }
      r.keep_unmasked = false;
      const auto drawn = generate_image(*pipeline, r);
      r.keep_unmasked = true;
      const auto kept = generate_image(*pipeline, r);
      const auto canvas = plan_canvas(pipeline->description(), drawn.width, drawn.height);
      const auto original = to_output(resize_to_generated(*r.image, canvas), canvas);
      const auto mask = to_output(resize_to_generated(*r.mask, canvas), canvas);
      EXPECT_EQ(kept.pixels, overlay_kept_pixels(original, mask, drawn).pixels);
      EXPECT_NE(kept.pixels, drawn.pixels);
      if (!resized) {
        const auto row = static_cast<std::ptrdiff_t>(64) * 3, unmasked = static_cast<std::ptrdiff_t>(39) * 3;
        for (std::ptrdiff_t y = 0; y < 48; ++y) {
          ASSERT_TRUE(std::equal(kept.pixels.begin() + y * row, kept.pixels.begin() + y * row + unmasked,
                                 r.image->pixels.begin() + y * row))
              << "row " << y;
        }
      }
    }
  }
}

TEST(ImageToImage, CroppingKeepsTheImagesSizeAndWhatTheMaskKeeps) {
  auto pipeline = load("sd");
  auto r = request(3);
  r.image = slope(101, 60);
  r.mask = right_part(101, 60, 80);
  r.padding_mask_crop = 4;
  r.width = r.height = 64;
  const auto image = generate_image(*pipeline, r);
  ASSERT_EQ(image.width, 101);
  ASSERT_EQ(image.height, 60);
  EXPECT_NE(image.pixels, r.image->pixels);
  for (std::size_t i = 0; i < image.pixels.size(); ++i) {
    if (i / 3 % 101 >= 79) continue;
    ASSERT_EQ(image.pixels[i], r.image->pixels[i]) << i;
  }
  r.width.reset();
  r.height.reset();
  const auto generation = begin(*pipeline, r);
  EXPECT_EQ(static_cast<const DiffusionGeneration&>(*generation).canvas.width, pipeline->description().native_width)
      << "the part is drawn at the model's own size";
}

TEST(ImageToImage, CroppingNeedsAMaskThatSelectsPixelsOfTheImage) {
  auto pipeline = load("sd");
  auto r = request(3);
  r.image = plain(64, 64, 90);
  r.padding_mask_crop = 8;
  expect_rejected(*pipeline, r, "padding_mask_crop");
  r.mask = plain(64, 64, 0);
  expect_rejected(*pipeline, r, "mask");
  r.mask = plain(64, 56, 255);
  expect_rejected(*pipeline, r, "mask");
  r.mask = plain(64, 64, 255);
  r.padding_mask_crop = -1;
  expect_rejected(*pipeline, r, "padding_mask_crop");
}

TEST(ImageToImage, RefinerMustBeARefinerCheckpoint) {
  const auto folder = Checkpoint::open(reference("xl_with_refiner"));
  auto other = folder;
  other.manifest.refiner = "../sd";
  EXPECT_EQ(find_refiner(folder)->class_name, "StableDiffusionXLImg2ImgPipeline");
  EXPECT_THROW(find_refiner(other), Error);
}

}  // namespace
}  // namespace easel
