// Compares the estimate from a config with what a call really allocates.
#include "models/memory/activation_memory.h"

#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <functional>

#include "core/text.h"
#include "models/unet/unet_2d_condition.h"
#include "nn/meta_run.h"
#include "nn/prompt_projections.h"
#include "support/counting_allocator.h"
#include "weights/loading/weights.h"
#include "weights/stores/component_store.h"
#include "weights/stores/key_mapping.h"

namespace easel {
namespace {

using testing::peak_allocated_bytes;

const std::string kModel = EASEL_EMOJI_MODEL;
const std::string kStem = "diffusion_pytorch_model";
const Placement kCpu{.device = at::kCPU, .dtype = at::kFloat};

Config config_of(const std::string& component) {
  const auto path = kModel + "/" + component + "/config.json";
  return Config::read_file(path, path);
}

template <class Model, class ModelConfig>
Model load(const std::string& component, const Placement& placement = kCpu) {
  auto config = config_of(component);
  Weights weights(with_attention_names(open_component(kModel + "/" + component, kStem)), placement);
  Model model(ModelConfig::from(config), weights.root());
  weights.finish();
  return model;
}

// Other memory that kernels allocate for themselves is not estimated: here up to a thirtieth, in the smallest calls.
constexpr double kTolerance = 0.05;

void expect_estimate(std::int64_t estimated, const std::function<void()>& call) {
  call();  // prepares the weights, which does not count as memory of the call
  const auto allocated = static_cast<double>(peak_allocated_bytes(call));
  EXPECT_NEAR(static_cast<double>(estimated) / allocated, 1.0, kTolerance) << allocated << " bytes were allocated";
}

TEST(ActivationMemory, StepEstimateMatchesCpuAllocation) {
  const c10::InferenceMode inference;
  const auto unet = load<UNet2DConditionModel, UNet2DConditionConfig>("unet");
  const auto& config = unet.config();
  for (const LatentSize size : {LatentSize{1, 32, 32}, LatentSize{2, 32, 32}, LatentSize{2, 40, 24}}) {
    expect_estimate(step_bytes(config, size, kCpu), [&] {
      UNetInput input;
      input.sample = at::ones({size.rows, config.in_channels, size.height, size.width});
      input.timesteps = at::ones({size.rows});
      input.encoder_hidden_states = at::ones({size.rows, 77, config.levels[0].cross_attention_dim});
      const std::vector<ImageRows> images{
          {.projections = std::make_shared<PromptProjections>(), .rows = size.rows, .tokens = 77}};
      for (int step = 0; step < 2; ++step) unet(input, {.images = &images});
    });
  }
}

// On a CPU without instructions for a dtype, convolutions copy every window of their input. With them, oneDNN takes
// scratch memory that depends on the instruction set and the number of threads; CTest runs this under several of each.
TEST(ActivationMemory, HalfPrecisionEstimateMatchesCpuAllocation) {
  const c10::InferenceMode inference;
  for (const auto dtype : {at::kHalf, at::kBFloat16}) {
    SCOPED_TRACE(dtype_name(dtype));
    const Placement placement{.device = at::kCPU, .dtype = dtype};
    const auto vae = load<AutoencoderKL, AutoencoderKLConfig>("vae", placement);
    const auto channels = vae.config().latent_channels;
    expect_estimate(decode_bytes(vae.config(), {1, 8, 8}, placement),
                    [&] { vae.decode(at::ones({1, channels, 8, 8}, dtype), {}); });
  }
}

TEST(ActivationMemory, EncodeNeedsNoMoreThanDecode) {
  for (const char* name : {"sd15", "sdxl-base", "x4-upscaler"}) {
    SCOPED_TRACE(name);
    auto json = Config::read_file(concat(EASEL_CONFIGS_DIR, "/", name, "/vae.json"), name);
    const auto config = AutoencoderKLConfig::from(json);
    for (const auto device : {at::kCPU, at::kCUDA}) {
      const Placement placement{.device = device, .dtype = at::kFloat};
      EXPECT_LE(encode_bytes(config, {1, 64, 96}, placement), decode_bytes(config, {1, 64, 96}, placement));
    }
  }
}

TEST(ActivationMemory, AutoencoderEstimateMatchesCpuAllocation) {
  const c10::InferenceMode inference;
  const auto vae = load<AutoencoderKL, AutoencoderKLConfig>("vae");
  const auto& c = vae.config();
  for (const LatentSize size : {LatentSize{1, 32, 32}, LatentSize{2, 16, 40}}) {
    expect_estimate(decode_bytes(c, size, kCpu),
                    [&] { vae.decode(at::ones({size.rows, c.latent_channels, size.height, size.width}), {}); });
    expect_estimate(encode_bytes(c, size, kCpu), [&] {
      vae.encode(at::ones({size.rows, c.in_channels, size.height * c.scale(), size.width * c.scale()}), {});
    });
  }
}

TEST(ActivationMemory, IsEstimatedForEveryActivation) {
  for (const char* name : {"silu", "swish", "gelu", "mish", "relu"}) {
    auto unet = config_of("unet").object(), vae = config_of("vae").object();
    for (const char* key : {"act_fn", "timestep_post_act", "time_embedding_act_fn"}) unet[key] = name;
    vae["act_fn"] = name;
    Config unet_config(unet, "unet"), vae_config(vae, "vae");
    EXPECT_GT(step_bytes(UNet2DConditionConfig::from(unet_config), {1, 16, 16}, kCpu), 0) << name;
    EXPECT_GT(decode_bytes(AutoencoderKLConfig::from(vae_config), {1, 16, 16}, kCpu), 0) << name;
  }
}

TEST(ActivationMemory, FollowsTheConfig) {
  const auto published = [](const std::string& name) {
    auto config = Config::read_file(std::string(EASEL_CONFIGS_DIR) + "/" + name + ".json", name);
    return UNet2DConditionConfig::from(config);
  };
  const Placement gpu{.device = at::kCUDA, .dtype = at::kHalf};
  for (const char* name : {"sd15", "sd15-inpainting", "sd21", "sdxl-base", "sdxl-refiner", "x4-upscaler"}) {
    SCOPED_TRACE(name);
    const auto config = published(std::string(name) + "/unet");
    const auto one = step_bytes(config, {1, 64, 64}, gpu), two = step_bytes(config, {2, 64, 64}, gpu);
    EXPECT_GT(one, 20'000'000);
    EXPECT_NEAR(static_cast<double>(two) / static_cast<double>(one), 2.0, 0.01) << "rows are alike";
    const auto wide = step_bytes(config, {1, 64, 64}, {.device = at::kCUDA, .dtype = at::kFloat});
    EXPECT_NEAR(static_cast<double>(wide) / static_cast<double>(one), 2.0, 0.01);
    // A part, which is kept of the prompt, does not depend on the size.
    const auto double_size = step_bytes(config, {1, 128, 64}, gpu), four_times = step_bytes(config, {1, 128, 128}, gpu);
    EXPECT_NEAR(static_cast<double>(four_times - double_size) / static_cast<double>(double_size - one), 2.0, 0.1)
        << "no attention holds all pairs";
  }
}

// Bytes are charged to the run that they were allocated in, even if they outlive it.
TEST(MetaRun, CountsOnlyTensorsOfItsThread) {
  const auto options = at::TensorOptions().device(at::kMeta).dtype(at::kFloat);
  const auto before = at::zeros({1000}, options);
  at::Tensor survivor;
  {
    MetaRun run(at::kCPU);
    EXPECT_EQ(run.peak_bytes(), 0);
    {
      const auto a = at::zeros({100}, options), b = at::zeros({50}, options);
      survivor = a;
      EXPECT_EQ(run.live_bytes(), 600);
    }
    EXPECT_EQ(run.live_bytes(), 400);
    EXPECT_EQ(run.peak_bytes(), 600);
    run.reset_peak();
    EXPECT_EQ(run.peak_bytes(), 400);
    EXPECT_THROW(MetaRun{at::kCPU}, Error);
  }
  survivor.reset();
  MetaRun another(at::kCPU);
  EXPECT_EQ(another.live_bytes(), 0);
}

}  // namespace
}  // namespace easel
