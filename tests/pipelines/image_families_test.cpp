// InstructPix2Pix, upscalers and further inpainting against diffusers: see make_image_families.py.
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "image/tiles.h"
#include "pipelines/denoising/diffusion_generation.h"
#include "pipelines/denoising/preconditioning.h"
#include "pipelines/family_cases.h"
#include "pipelines/pipeline_cases.h"
#include "pipelines/registry.h"
#include "pipelines/starts/upscale_tiles.h"

namespace easel {
namespace {

namespace fs = std::filesystem;
using testing::begin;
using testing::expect_rejected;
using testing::generate_image;
using testing::latents_of;
using testing::load;
using testing::reference;
using testing::relative_error;
using testing::step;

TEST(ImageConditionedFamilies, LatentsAndPixelsMatchDiffusers) {
  EXPECT_EQ(testing::expect_all_cases_agree(), 24);
}

std::shared_ptr<const Image> noise_image(int width, int height) {
  Image image{.width = width, .height = height, .pixels = {}};
  std::uint32_t state = 1;
  for (int i = 0; i < width * height * 3; ++i) {
    state = state * 1664525u + 1013904223u;
    image.pixels.push_back(static_cast<std::uint8_t>(state >> 24));
  }
  return std::make_shared<Image>(std::move(image));
}

GenerationRequest request(std::int64_t steps, int width, int height) {
  GenerationRequest r;
  r.prompt = "a fox";
  r.seed = 3;
  r.num_inference_steps = steps;
  r.image = noise_image(width, height);
  return r;
}

// The models are so small that the workspaces of kernels matter.
constexpr double kMemoryTolerance = 0.1;

TEST(ImageConditionedFamilies, StepMemoryMatchesTheEstimate) {
  const struct {
    const char* folder;
    int rows, edge;
  } cases[] = {{"pix2pix", 3, 256}, {"x4", 2, 64}, {"x2", 2, 256}};
  for (const auto& [folder, rows, edge] : cases) {
    SCOPED_TRACE(folder);
    auto served = open_model("m", reference(folder), {});
    const int drawn = edge * std::max(1, served.description.upscale_factor);
    served = open_model("m", reference(folder), {.estimated_sizes = {{drawn, drawn}}});
    const auto& estimated = served.description.activations.back();
    ASSERT_EQ(estimated.width, drawn);
    ASSERT_EQ(estimated.step_bytes.count(rows), 1u);
    const auto pipeline = served.load({}, {});
    EXPECT_EQ(begin(*pipeline, request(2, edge, edge))->rows(), rows);
    const auto allocated = testing::peak_of_a_step(*pipeline, request(2, edge, edge));
    const auto ratio = static_cast<double>(estimated.step_bytes.at(rows)) / static_cast<double>(allocated);
    EXPECT_NEAR(ratio, 1.0, kMemoryTolerance) << allocated << " bytes were allocated";
  }
}

// Beyond 2048 x 2048, an upscaler generates tiles of 1024.
TEST(ImageConditionedFamilies, LargeUpscalesNeedOnlyTheMemoryOfATile) {
  for (const char* folder : {"x4", "x2"}) {
    SCOPED_TRACE(folder);
    const auto d =
        open_model("m", reference(folder), {.estimated_sizes = {{1024, 1024}, {4096, 2048}, {2048, 2048}}}).description;
    const auto& tile = d.activations[1];
    const auto& tiled = d.activations[2];
    const auto& whole = d.activations[3];
    EXPECT_EQ(tiled.width, 4096);
    EXPECT_EQ(tiled.step_bytes, tile.step_bytes);
    EXPECT_EQ(tiled.decode_bytes, tile.decode_bytes);
    EXPECT_GT(whole.decode_bytes, 3 * tile.decode_bytes);
  }
}

TEST(ImageConditionedFamilies, DescriptionsReportRequiredInputs) {
  const auto describe = [](const char* folder) { return open_model("m", reference(folder), {}).description; };
  const auto pix2pix = describe("pix2pix"), x4 = describe("x4"), x2 = describe("x2");
  for (const auto* d : {&pix2pix, &x4, &x2}) {
    EXPECT_TRUE(d->needs_image);
    EXPECT_FALSE(d->needs_mask);
  }
  EXPECT_EQ(pix2pix.upscale_factor, 0);
  EXPECT_EQ(pix2pix.default_steps, 100);
  EXPECT_EQ(pix2pix.default_scheduler, "euler_ancestral");
  EXPECT_EQ(x4.upscale_factor, 4);
  EXPECT_EQ(x4.default_steps, 75);
  EXPECT_EQ(x4.default_guidance_scale, 9.0);
  EXPECT_EQ(x2.upscale_factor, 2);
  EXPECT_EQ(x2.schedulers.front(), "euler");
  EXPECT_EQ(std::count(x2.schedulers.begin(), x2.schedulers.end(), "ddim"), 0);
}

TEST(ImageConditionedFamilies, InvalidValuesNameTheField) {
  for (const char* folder : {"pix2pix", "x4", "x2", "sd2_inpainting"}) {
    SCOPED_TRACE(folder);
    auto pipeline = load(folder);
    auto r = request(2, 64, 64);
    r.image = nullptr;
    if (std::string(folder) == "sd2_inpainting") r.mask = r.image = noise_image(64, 64);
    if (!r.mask) expect_rejected(*pipeline, r, "image");
    r.image = noise_image(64, 64);
    auto broken = *r.image;
    broken.pixels.pop_back();
    auto other = r;
    other.image = std::make_shared<Image>(broken);
    expect_rejected(*pipeline, other, "image");
    if (!r.mask) {
      other = r;
      other.mask = r.image;
      expect_rejected(*pipeline, other, "mask");
      other = r;
      other.strength = 0.5;
      expect_rejected(*pipeline, other, "strength");
      other = r;
      other.guidance_rescale = 0.5;
      expect_rejected(*pipeline, other, "guidance_rescale");
    }
    other = r;
    other.image_guidance_scale = std::string(folder) == "pix2pix" ? -1.0 : 1.5;
    expect_rejected(*pipeline, other, "image_guidance_scale");
    for (const std::int64_t level : {-1, 351}) {
      other = r;
      other.noise_level = level;
      expect_rejected(*pipeline, other, "noise_level");
    }
  }
}

TEST(ImageConditionedFamilies, LogSigmaConditioningNeedsAnEulerScheduler) {
  for (const char* name : {"ddim", "heun", "dpmpp_2m", "lcm"}) {
    const auto scheduler = make_scheduler(name, nlohmann::json::object());
    scheduler->set_timesteps(4);
    try {
      run_sigmas(*scheduler);
      FAIL() << name << " was accepted";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument) << e.what();
      EXPECT_EQ(e.param(), "scheduler");
    }
  }
  const auto scheduler = make_scheduler("euler", nlohmann::json::object());
  scheduler->set_timesteps(4);
  const auto sigmas = run_sigmas(*scheduler);
  ASSERT_EQ(sigmas.size(0), 4);
  EXPECT_EQ(sigmas[0].item<double>(), scheduler->init_noise_sigma()) << "with linspace, the largest";
  EXPECT_FLOAT_EQ(log_sigma_conditioning(sigmas)[3], std::log(sigmas[3].item<float>()) * 0.25f);
  auto x2 = load("x2");
  auto r = request(2, 64, 64);
  r.scheduler = "ddim";
  EXPECT_THROW(x2->begin(r, {}), Error);
}

TEST(ImageConditionedFamilies, ImageGuidanceTakesThreeRows) {
  auto pipeline = load("pix2pix");
  auto r = request(2, 64, 64);
  EXPECT_EQ(begin(*pipeline, r)->rows(), 3);
  r.image_guidance_scale = 0.5;
  EXPECT_EQ(begin(*pipeline, r)->rows(), 1);
  r.image_guidance_scale.reset();
  r.guidance_scale = 1.0;
  EXPECT_EQ(begin(*pipeline, r)->rows(), 1);
}

TEST(ImageConditionedFamilies, GuidanceIntervalLimitsImageGuidance) {
  auto guided = request(4, 64, 64);
  guided.scheduler = "ddim";
  auto unguided = guided;
  guided.negative_prompt = "a cat";
  guided.guidance_scale = 2.0;
  unguided.guidance_scale = 1.0;
  testing::expect_guidance_interval_limits_rows(*load("pix2pix"), guided, unguided, /*rows=*/3);
}

TEST(ImageConditionedFamilies, OneCallAdvancesEachRequestByOneStep) {
  for (const char* folder : {"pix2pix", "x4", "x2"}) {
    SCOPED_TRACE(folder);
    auto pipeline = load(folder);
    std::vector<GenerationRequest> requests(3, request(3, 64, 64));
    requests[0].prompt = "a whale on pink";
    requests[1].num_inference_steps = 7;
    requests[1].guidance_scale = 1.0;
    requests[2].seed = 8;
    if (std::string(folder) == "x4") requests[2].noise_level = 300;
    std::vector<std::unique_ptr<Generation>> together, alone;
    std::vector<Generation*> rows;
    for (const auto& r : requests) {
      together.push_back(begin(*pipeline, r));
      alone.push_back(begin(*pipeline, r));
      rows.push_back(together.back().get());
    }
    pipeline->step(rows, {})->wait();
    for (std::size_t i = 0; i < rows.size(); ++i) {
      step(*pipeline, alone[i].get());
      EXPECT_LT(relative_error(latents_of(*rows[i]), latents_of(*alone[i])), 1e-5) << i;
    }
  }
}

/// A copy of a reference checkpoint with one file replaced; deleted at the end.
class CheckpointCopy {
 public:
  CheckpointCopy(const std::string& folder, const std::string& file, const std::string& text)
      : path_(reference(folder) + "_copy") {
    fs::remove_all(path_);
    fs::copy(reference(folder), path_, fs::copy_options::recursive);
    std::ofstream(path_ / file) << text;
  }
  ~CheckpointCopy() { fs::remove_all(path_); }
  std::string path() const { return path_.string(); }

 private:
  fs::path path_;
};

std::string manifest_with_tile(int tile) {
  return nlohmann::json{{"upscale_tile", tile}}.dump();
}

const DiffusionGeneration& state(const Generation& generation) {
  return static_cast<const DiffusionGeneration&>(generation);
}

TEST(ImageConditionedFamilies, TilesShareTheFullSizeNoise) {
  for (const auto& [folder, tile, width, height] : {std::tuple{"x4", 16, 28, 16}, {"x2", 64, 128, 64}}) {
    SCOPED_TRACE(folder);
    const CheckpointCopy checkpoint(folder, "easel.json", manifest_with_tile(tile));
    auto tiled = load(checkpoint.path()), whole = load(folder);
    const auto r = request(2, width, height);
    const auto all = begin(*whole, r);
    auto generation = begin(*tiled, r);
    const auto& tiles = state(*generation).tiles;
    const auto cell = state(*generation).grid.width / latents_of(*all).size(3);
    const auto grid = state(*generation).grid.scaled(1, static_cast<int>(cell));
    ASSERT_EQ(tiles.size(), folder == std::string("x4") ? 2u : 3u);
    for (std::size_t i = 0; i < tiles.size(); ++i) {
      EXPECT_TRUE(at::equal(tiles[i].latents, cut_tile(latents_of(*all), grid, i))) << i;
      // The latent upscaler's channels went through the autoencoder, which sees only the tile.
      if (folder != std::string("x4")) continue;
      EXPECT_TRUE(at::equal(tiles[i].extra_channels, cut_tile(state(*all).extra_channels, grid, i))) << i;
    }

    const auto steps = static_cast<std::int64_t>(2 * tiles.size());
    EXPECT_EQ(generation->progress().steps_total, steps) << "two steps per tile";
    step(*tiled, generation.get());
    EXPECT_FALSE(tiled->preview(*generation).has_value());
    step(*tiled, generation.get());
    EXPECT_TRUE(at::equal(latents_of(*generation), tiles[1].latents)) << "the second tile has begun";
    EXPECT_TRUE(tiles[0].decoded.pixels.defined()) << "the first tile is decoded before finish";
    while (!generation->finished_stepping()) step(*tiled, generation.get());
    EXPECT_EQ(generation->progress().steps_done, steps);
    const auto drawing = testing::finish(*tiled, generation.get());
    EXPECT_EQ(drawing.width, state(*generation).grid.width);
    EXPECT_EQ(drawing.height, state(*generation).grid.height);
  }
}

TEST(ImageConditionedFamilies, TileSizeOfZeroIsRejected) {
  const CheckpointCopy checkpoint("x4", "easel.json", manifest_with_tile(0));
  EXPECT_THROW(open_model("m", checkpoint.path(), {}), Error);
}

// If a checkpoint does not state its native size, the reference uses 128 cells for SDXL and 64 for Stable Diffusion.
TEST(ImageConditionedFamilies, MissingSampleSizeUsesTheFamilyDefault) {
  for (const auto& [folder, native] : {std::pair{"xl_statistics", 1024}, {"sd2_inpainting", 512}}) {
    std::ifstream file(reference(folder) + "/unet/config.json");
    auto config = nlohmann::json::parse(file);
    config.erase("sample_size");
    const CheckpointCopy checkpoint(folder, "unet/config.json", config.dump());
    EXPECT_EQ(open_model("m", checkpoint.path(), {}).description.native_width, native);
  }
}

TEST(ImageConditionedFamilies, ImageThatFitsATileIsNotTiled) {
  const CheckpointCopy checkpoint("x4", "easel.json", manifest_with_tile(32));
  auto tiled = load(checkpoint.path()), whole = load("x4");
  const auto r = request(2, 32, 32);
  EXPECT_TRUE(generate_image(*tiled, r).pixels == generate_image(*whole, r).pixels);
}

}  // namespace
}  // namespace easel
