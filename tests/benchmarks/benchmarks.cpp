// Times the parts that every image passes through. The tests run it briefly, so that it keeps working. For usable
// numbers, run it with --benchmark_min_time=1 on a machine without other work.
#include <ATen/core/Tensor.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/randn.h>
#include <benchmark/benchmark.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "easel/image.h"
#include "easel/noise.h"
#include "easel/scheduler.h"
#include "easel/tokenizer.h"
#include "nn/kernels/instruction_set.h"
#include "nn/kernels/winograd.h"
#include "pipelines/registry.h"

namespace easel {
namespace {

constexpr std::uint64_t kSeed = 42;
constexpr const char* kPrompt =
    "a photograph of an astronaut riding a horse on the moon, highly detailed, golden hour, 85 mm, film grain";

/// The scheduler config of Stable Diffusion 1.5.
nlohmann::json scheduler_config() {
  return {{"_class_name", "PNDMScheduler"},
          {"beta_start", 0.00085},
          {"beta_end", 0.012},
          {"beta_schedule", "scaled_linear"},
          {"num_train_timesteps", 1000},
          {"skip_prk_steps", true},
          {"steps_offset", 1},
          {"set_alpha_to_one", false}};
}

/// Neither flat nor noise: it compresses about as well as a generated image.
Image gradient(int width, int height) {
  Image image{width, height, {}};
  image.pixels.reserve(static_cast<std::size_t>(width) * height * 3);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (const int value : {x, y, x * y / 64}) image.pixels.push_back(static_cast<std::uint8_t>(value));
    }
  }
  return image;
}

std::unique_ptr<Pipeline> load_emoji() {
  return open_model("emoji", EASEL_MODELS_DIR "/emoji", PipelineOptions{.placement = make_placement("cpu", "float32")})
      .load({}, {});
}

std::unique_ptr<Generation> begin(Pipeline& pipeline) {
  GenerationRequest request;
  request.model = "emoji";
  request.prompt = "a fox on a blue background";
  request.seed = kSeed;
  auto ticket = pipeline.begin(request, {});
  ticket->wait();
  return std::move(ticket->take()[0]);
}

void step(Pipeline& pipeline, Generation& generation) {
  Generation* row = &generation;
  pipeline.step({&row, 1}, {})->wait();
}

void tokenize(benchmark::State& state) {
  const auto tokenizer = load_clip_tokenizer(EASEL_MODELS_DIR "/emoji/tokenizer");
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer->encode(kPrompt));
}
BENCHMARK(tokenize);

void png_512(benchmark::State& state) {
  const auto image = gradient(512, 512);
  for (auto _ : state) benchmark::DoNotOptimize(encode_png(image));
}
BENCHMARK(png_512)->Unit(benchmark::kMillisecond);

void resize_128_to_512(benchmark::State& state) {
  const auto image = gradient(128, 128);
  for (auto _ : state) benchmark::DoNotOptimize(resize(image, 512, 512));
}
BENCHMARK(resize_128_to_512)->Unit(benchmark::kMillisecond);

/// A whole run of 20 steps on latents of [1, 4, 64, 64], without a model.
void scheduler_run(benchmark::State& state, const std::string& name) {
  NoiseSource noise(kSeed);
  const auto start = noise.normal({1, 4, 64, 64});
  const auto model_output = noise.normal({1, 4, 64, 64});
  const auto config = scheduler_config();
  for (auto _ : state) {
    const auto scheduler = make_scheduler(name, config);
    scheduler->set_timesteps(20);
    auto sample = start;
    for (std::size_t i = 0; i < scheduler->timesteps().size(); ++i) {
      sample = scheduler->step(model_output, i, sample, noise).prev_sample;
    }
    benchmark::DoNotOptimize(sample);
  }
}

void emoji_step(benchmark::State& state) {
  const auto pipeline = load_emoji();
  auto generation = begin(*pipeline);
  for (auto _ : state) {
    if (generation->finished_stepping()) {
      state.PauseTiming();
      generation = begin(*pipeline);
      state.ResumeTiming();
    }
    step(*pipeline, *generation);
  }
}
BENCHMARK(emoji_step)->Unit(benchmark::kMillisecond)->UseRealTime();

void emoji_image(benchmark::State& state) {
  const auto pipeline = load_emoji();
  for (auto _ : state) {
    auto generation = begin(*pipeline);
    while (!generation->finished_stepping()) step(*pipeline, *generation);
    Generation* row = generation.get();
    auto ticket = pipeline->finish({&row, 1}, {});
    ticket->wait();
    benchmark::DoNotOptimize(ticket->take());
  }
}
BENCHMARK(emoji_image)->Unit(benchmark::kMillisecond)->UseRealTime();

/// Of 64 channels at 64 x 64, as the shipped model's autoencoder has them, with each of the two algorithms.
void convolution(benchmark::State& state, at::Tensor (*run)(const at::Tensor&, const at::Tensor&, const at::Tensor&)) {
  const auto input = at::randn({1, 64, 64, 64}).contiguous(at::MemoryFormat::ChannelsLast);
  const auto weight = at::randn({64, 64, 3, 3}), bias = at::randn({64});
  for (auto _ : state) benchmark::DoNotOptimize(run(input, weight, bias));
}

at::Tensor direct_convolution(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias) {
  return at::conv2d(input, weight, bias, {1, 1}, {1, 1});
}
BENCHMARK_CAPTURE(convolution, direct, &direct_convolution)->Unit(benchmark::kMicrosecond)->UseRealTime();

}  // namespace
}  // namespace easel

int main(int argc, char** argv) {
  for (const auto& name : easel::scheduler_names()) {
    benchmark::RegisterBenchmark(("scheduler_run/" + name).c_str(), [name](benchmark::State& state) {
      easel::scheduler_run(state, name);
    })->Unit(benchmark::kMillisecond);
  }
  if (easel::instructions_for(at::kFloat) != easel::InstructionSet::kNone) {
    benchmark::RegisterBenchmark("convolution/winograd", &easel::convolution, &easel::winograd_convolution)
        ->Unit(benchmark::kMicrosecond)
        ->UseRealTime();
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  return benchmark::RunSpecifiedBenchmarks() > 0 ? 0 : 1;
}
