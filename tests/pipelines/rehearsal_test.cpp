// Whole images on the rehearsal device, which is an accelerator in everything but speed.
#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <thread>

#include "easel/engine.h"
#include "pipelines/denoising/diffusion_pipeline.h"
#include "pipelines/pipeline_cases.h"
#include "pipelines/registry.h"
#include "support/rehearsal/rehearsal_device.h"

namespace easel {
namespace {

using testing::begin;
using testing::finish;
using testing::generate_image;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::NoWorkOnDefaultStream;
using testing::RehearsalDevice;
using testing::step;

ServedModel model_on(const c10::Device& device, PipelineOptions options = {}) {
  options.placement.device = device;
  options.max_generations_per_step = 2;
  return open_model("sd1", testing::reference("sd1"), options);
}

GenerationRequest request_with(std::uint64_t seed, std::int64_t steps = 3) {
  GenerationRequest request;
  request.model = "sd1";
  request.prompt = "a fox";
  request.seed = seed;
  request.num_inference_steps = steps;
  return request;
}

Image image_on_cpu(const GenerationRequest& request) {
  const auto pipeline = model_on(c10::Device(c10::kCPU)).load({}, {});
  return generate_image(*pipeline, request);
}

/// The kernels are the CPU's, but libtorch composes some operators of others for an accelerator.
void expect_same_image(const Image& found, const Image& wanted) {
  constexpr double kEqualValues = 0.99;
  ASSERT_EQ(found.pixels.size(), wanted.pixels.size());
  std::size_t equal = 0;
  int apart = 0;
  for (std::size_t i = 0; i < found.pixels.size(); ++i) {
    const int difference = std::abs(found.pixels[i] - wanted.pixels[i]);
    equal += difference == 0 ? 1 : 0;
    apart = std::max(apart, difference);
  }
  EXPECT_LE(apart, 1);
  EXPECT_GE(static_cast<double>(equal), kEqualValues * static_cast<double>(wanted.pixels.size()));
}

// The second device, while the thread's current device is the first.
class Rehearsal : public ::testing::Test {
 protected:
  ~Rehearsal() override { EXPECT_THAT(device_.violations(), IsEmpty()); }
  RehearsalDevice device_{1};
};

TEST_F(Rehearsal, ImageIsThatOfTheCpu) {
  const auto pipeline = model_on(device_.device()).load({}, {});
  expect_same_image(generate_image(*pipeline, request_with(1)), image_on_cpu(request_with(1)));
}

TEST_F(Rehearsal, NoStepWaitsForTheDevice) {
  const auto pipeline = model_on(device_.device()).load({}, {});
  // The refiner and other schedulers take the same way.
  for (const std::string scheduler : {"euler", "euler_ancestral", "dpmpp_2m", "unipc", "lcm", "heun", "pndm"}) {
    auto request = request_with(3, 4);
    request.scheduler = scheduler;
    auto before = device_.counts();
    const auto generation = begin(*pipeline, request);
    EXPECT_EQ(device_.counts().synchronizations, before.synchronizations) << "begin, " << scheduler;
    EXPECT_EQ(device_.counts().event_waits, before.event_waits + 1) << "that of the ticket";
    std::int64_t steps = 0;
    before = device_.counts();
    for (; !generation->finished_stepping(); ++steps) step(*pipeline, generation.get());
    EXPECT_EQ(device_.counts().synchronizations, before.synchronizations) << "steps, " << scheduler;
    EXPECT_EQ(device_.counts().event_waits, before.event_waits + steps) << "one for each ticket";
    before = device_.counts();
    finish(*pipeline, generation.get());
    EXPECT_EQ(device_.counts().synchronizations, before.synchronizations) << "decode, " << scheduler;
    EXPECT_EQ(device_.counts().event_waits, before.event_waits + 1);
  }
}

TEST_F(Rehearsal, ScalarReadInAStepIsFound) {
  const auto pipeline = model_on(device_.device()).load({}, {});
  const auto generation = begin(*pipeline, request_with(1));
  const auto before = device_.counts().synchronizations;
  // What a scheduler must not do.
  const bool reads = testing::latents_of(*generation).to(at::kCPU).numel() > 0;
  EXPECT_TRUE(reads);
  EXPECT_EQ(device_.counts().synchronizations, before + 1);
}

TEST_F(Rehearsal, LoadingGivesNoWorkToTheStreamOfTheImages) {
  const auto served = model_on(device_.device(), {.estimate_activations = true});
  std::unique_ptr<Pipeline> pipeline;
  std::thread([&] {
    const NoWorkOnDefaultStream loader;
    pipeline = served.load({}, {});
  }).join();
  EXPECT_EQ(device_.counts_of_default_stream().kernels, 0);
  EXPECT_GT(device_.counts().event_waits, 0) << "the warm-up has run";
  expect_same_image(generate_image(*pipeline, request_with(2)), image_on_cpu(request_with(2)));
}

TEST_F(Rehearsal, UnloadedModelGivesItsMemoryBack) {
  const auto before = device_.reserved_bytes();
  auto pipeline = model_on(device_.device()).load({}, {});
  EXPECT_GT(device_.allocated_bytes(), 0);
  generate_image(*pipeline, request_with(1));
  pipeline.reset();
  EXPECT_EQ(device_.allocated_bytes(), 0);
  EXPECT_LE(device_.reserved_bytes(), before);
  EXPECT_GE(device_.cache_releases(), 1);
}

TEST_F(Rehearsal, ComponentsThatTakeTurnsDoNotWaitForCopies) {
  PipelineOptions options;
  options.offloaders = std::make_shared<ComponentOffloaders>();
  options.placement.offloader = options.offloaders->of(device_.device());
  const auto pipeline = model_on(device_.device(), options).load({}, {});
  const auto before = device_.counts().synchronizations;
  const auto image = generate_image(*pipeline, request_with(1));
  EXPECT_EQ(device_.counts().synchronizations, before) << "weights wait in pinned memory";
  expect_same_image(image, image_on_cpu(request_with(1)));
}

TEST_F(Rehearsal, LoadThatDoesNotFitIsOutOfMemory) {
  device_.limit_memory(1 << 16);
  try {
    model_on(device_.device()).load({}, {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted) << error.what();
    EXPECT_THAT(error.what(), HasSubstr("device memory is used up"));
  }
  EXPECT_EQ(device_.allocated_bytes(), 0);
}

TEST_F(Rehearsal, DecodeThatRunsOutOfMemoryIsTriedInSmallerTiles) {
  auto request = request_with(1, 2);
  request.width = request.height = 256;
  const auto in_tiles = model_on(c10::Device(c10::kCPU), {.vae_tiling = VaeTiling::kOn}).load({}, {});
  const auto wanted = generate_image(*in_tiles, request);
  EXPECT_NE(wanted.pixels, image_on_cpu(request).pixels) << "the image is larger than a tile";
  const auto pipeline = model_on(device_.device()).load({}, {});
  const auto draw = [&] {
    const auto generation = begin(*pipeline, request);
    while (!generation->finished_stepping()) step(*pipeline, generation.get());
    device_.limit_allocation(2 << 20);  // which the estimate does not know
    auto image = finish(*pipeline, generation.get());
    device_.limit_allocation(std::int64_t{1} << 40);
    return image;
  };
  expect_same_image(draw(), wanted);
  const auto failures = device_.failed_allocations();
  EXPECT_GT(failures, 0);
  expect_same_image(draw(), wanted);
  EXPECT_EQ(device_.failed_allocations(), failures) << "the tiles are kept for this size";
}

TEST_F(Rehearsal, LostDeviceEndsItsRequestsAndIsNotUsedAgain) {
  auto served = model_on(device_.device());
  auto engine = make_engine({served}, {.devices = {device_.name()}});
  engine->submit(request_with(1))->take();
  const auto job = engine->submit(request_with(2, 200));
  while (job->progress().steps_done < 3) std::this_thread::yield();
  device_.lose();
  try {
    job->take();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kDeviceLost) << error.what();
  }
  EXPECT_TRUE(engine->all_devices_lost());
  while (!engine->at_rest()) std::this_thread::yield();  // what was in flight has been waited for
  const auto uses = device_.uses_after_loss();
  try {
    engine->submit(request_with(3))->take();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kDeviceLost) << error.what();
  }
  EXPECT_EQ(device_.uses_after_loss(), uses) << "the lost device was used again";
  engine.reset();
}

TEST_F(Rehearsal, TwoDevicesShareRequests) {
  const RehearsalDevice first(0);
  auto engine = make_engine({model_on(device_.device())}, {.devices = {first.name(), device_.name()}});
  std::vector<std::shared_ptr<Job>> jobs;
  for (std::uint64_t seed = 1; seed <= 6; ++seed) jobs.push_back(engine->submit(request_with(seed)));
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    expect_same_image(jobs[seed - 1]->take().at(0).image, image_on_cpu(request_with(seed)));
  }
  engine.reset();
  EXPECT_THAT(first.violations(), IsEmpty());
}

}  // namespace
}  // namespace easel
