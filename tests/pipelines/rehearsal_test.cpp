// Whole images on the rehearsal device, which is an accelerator in everything but speed.
#include <ATen/TensorOperators.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <thread>

#include "easel/engine.h"
#include "pipelines/denoising/diffusion_pipeline.h"
#include "pipelines/pipeline_cases.h"
#include "pipelines/registry.h"
#include "support/rehearsal/rehearsal_device.h"
#include "tensor/torch_errors.h"

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

TEST_F(Rehearsal, FirstStepProjectsThePromptAndAllTimesteps) {
  const auto pipeline = model_on(device_.device()).load({}, {});
  auto request = request_with(3, 4);
  request.scheduler = "euler";
  const auto generation = begin(*pipeline, request);
  const auto kernels_of_a_step = [&] {
    const auto before = device_.counts().kernels;
    step(*pipeline, generation.get());
    return device_.counts().kernels - before;
  };
  const auto first = kernels_of_a_step(), second = kernels_of_a_step();
  // Keys and values of three layers at least, and a product with its activation for each of six residual blocks.
  EXPECT_LT(second, first - 18);
  EXPECT_EQ(kernels_of_a_step(), second);
}

/// A pipeline with a fault in its steps.
class FaultyPipeline : public Pipeline {
 public:
  enum class Tickets { kAsTheyAre, kNeverWaited };
  FaultyPipeline(std::unique_ptr<Pipeline> pipeline, std::function<void(const at::Tensor& latents)> fault,
                 Tickets tickets = Tickets::kAsTheyAre)
      : pipeline_(std::move(pipeline)), fault_(std::move(fault)), tickets_(tickets) {}

  const ModelDescription& description() const override { return pipeline_->description(); }
  std::unique_ptr<BeginTicket> begin(const GenerationRequest& request, const StopPredicate& stop) override {
    return pipeline_->begin(request, stop);
  }
  std::string batch_key(const Generation& generation) const override { return pipeline_->batch_key(generation); }
  std::unique_ptr<StepTicket> step(std::span<Generation* const> generations, const StopPredicate& stop) override {
    const c10::InferenceMode inference;
    auto ticket = pipeline_->step(generations, stop);
    if (fault_) with_torch_errors([&] { fault_(testing::latents_of(*generations[0])); });
    if (tickets_ == Tickets::kNeverWaited) return std::make_unique<HastyTicket>(std::move(ticket));
    return ticket;
  }
  std::optional<Image> preview(const Generation& generation) override { return pipeline_->preview(generation); }
  std::unique_ptr<FinishTicket> finish(std::span<Generation* const> generations, const StopPredicate& stop) override {
    return pipeline_->finish(generations, stop);
  }
  int max_generations_per_step() const override { return pipeline_->max_generations_per_step(); }

 private:
  struct HastyTicket : StepTicket {
    explicit HastyTicket(std::unique_ptr<StepTicket> real) : ticket(std::move(real)) {}
    bool done() const override { return true; }
    void wait() override {}
    std::vector<bool> finite() override { return ticket->finite(); }
    std::unique_ptr<StepTicket> ticket;
  };
  std::unique_ptr<Pipeline> pipeline_;
  std::function<void(const at::Tensor&)> fault_;
  Tickets tickets_;
};

/// Generates an image. @return what is wrong with the use of the device; empty where nothing is
std::string findings(Pipeline& pipeline, const RehearsalDevice& device) {
  const auto before = device.counts().synchronizations;
  try {
    const auto generation = begin(pipeline, request_with(1));
    auto* const image = generation.get();
    while (!image->finished_stepping()) {
      const auto ticket = pipeline.step({&image, 1}, {});
      ticket->wait();
      if (!ticket->finite().at(0)) return "the latents are not finite";
      if (device.counts().synchronizations != before) return "a step waited for the device";
    }
    finish(pipeline, image);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST_F(Rehearsal, FaultsInASteppingPipelineAreFound) {
  const auto with = [&](std::function<void(const at::Tensor&)> fault,
                        FaultyPipeline::Tickets tickets = FaultyPipeline::Tickets::kAsTheyAre) {
    FaultyPipeline pipeline(model_on(device_.device()).load({}, {}), std::move(fault), tickets);
    return findings(pipeline, device_);
  };
  EXPECT_EQ(with({}), "");
  EXPECT_EQ(with([](const at::Tensor& latents) { latents.sum().item<float>(); }), "a step waited for the device");
  EXPECT_EQ(with([](const at::Tensor& latents) { latents.to(at::kCPU); }), "a step waited for the device");
  EXPECT_NE(with([](const at::Tensor& latents) { latents + at::ones(latents.sizes()); }), "");
  EXPECT_THAT(with([](const at::Tensor& latents) { at::scaled_dot_product_attention(latents, latents, latents); }),
              HasSubstr("the current device is 0"));
  EXPECT_EQ(with({}, FaultyPipeline::Tickets::kNeverWaited), "the latents are not finite");
  EXPECT_THAT(with([&](const at::Tensor&) { device_.lose(); }), HasSubstr("does not work any more"));
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
