// The promises of easel/scheduler.h, for every scheduler of the registry.
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <tuple>

#include "easel/error.h"
#include "easel/noise.h"
#include "easel/scheduler.h"

namespace easel {
namespace {

using nlohmann::json;

constexpr std::int64_t kSteps = 6;

json stable_diffusion_config() {
  return {{"beta_start", 0.00085}, {"beta_end", 0.012}, {"beta_schedule", "scaled_linear"}, {"steps_offset", 1}};
}

json with(json config, const json& changes) {
  config.update(changes);
  return config;
}

// Configs that reach different code: with and without noise in each step, with a long and a short warm-up.
const std::vector<json>& configs() {
  static const std::vector<json> list = {
      with(stable_diffusion_config(), {{"skip_prk_steps", true}}),
      with(stable_diffusion_config(), {{"thresholding", true}, {"solver_order", 3}, {"timestep_spacing", "trailing"}}),
      with(stable_diffusion_config(), {{"algorithm_type", "sde-dpmsolver++"}, {"prediction_type", "v_prediction"}}),
      with(stable_diffusion_config(), {{"algorithm_type", "dpmsolver"}, {"final_sigmas_type", "sigma_min"}}),
  };
  return list;
}

at::Tensor model(const at::Tensor& sample, float timestep) {
  return sample.mul(0.7).add(timestep * 0.01).sin();
}

at::Tensor first_latents(const Scheduler& scheduler, NoiseSource& noise, at::ScalarType dtype = at::kFloat) {
  return noise.normal({1, 4, 5, 3}).to(dtype).mul(scheduler.init_noise_sigma());
}

at::Tensor advance(Scheduler& scheduler, std::size_t i, const at::Tensor& sample, NoiseSource& noise) {
  const auto output = model(scheduler.scale_model_input(sample, i), scheduler.timesteps()[i]);
  return scheduler.step(output, i, sample, noise).prev_sample;
}

at::Tensor draw(Scheduler& scheduler, std::uint64_t seed, std::int64_t num_inference_steps = kSteps) {
  NoiseSource noise(seed);
  scheduler.set_timesteps(num_inference_steps);
  auto sample = first_latents(scheduler, noise);
  for (std::size_t i = 0; i < scheduler.timesteps().size(); ++i) sample = advance(scheduler, i, sample, noise);
  return sample;
}

template <class F>
ErrorCode code_of(const F& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.code();
  }
  ADD_FAILURE() << "does not throw an Error";
  return ErrorCode::kInternal;
}

class SchedulerContract : public testing::TestWithParam<std::tuple<std::string, std::size_t>> {
 protected:
  static const std::string& name() { return std::get<0>(GetParam()); }
  static json config() {
    auto config = configs()[std::get<1>(GetParam())];
    if (name().starts_with("deis")) config.erase("algorithm_type");  // it does not support the stochastic ones
    return config;
  }
  std::unique_ptr<Scheduler> make() const { return make_scheduler(name(), config(), {.eta = 0.4}); }
};

TEST_P(SchedulerContract, KeepsShapeDtypeAndInputs) {
  for (const auto dtype : {at::kFloat, at::kHalf, at::kBFloat16}) {
    const auto scheduler = make();
    scheduler->set_timesteps(kSteps);
    NoiseSource noise(1);
    auto sample = first_latents(*scheduler, noise, dtype);
    for (std::size_t i = 0; i < scheduler->timesteps().size(); ++i) {
      const auto sample_before = sample.clone();
      const auto scaled = scheduler->scale_model_input(sample, i);
      EXPECT_EQ(scaled.scalar_type(), dtype);
      const auto output = model(scaled, scheduler->timesteps()[i]);
      const auto output_before = output.clone();
      const auto result = scheduler->step(output, i, sample, noise);
      EXPECT_TRUE(at::equal(sample, sample_before));
      EXPECT_TRUE(at::equal(output, output_before));
      EXPECT_EQ(result.prev_sample.sizes(), sample.sizes());
      EXPECT_EQ(result.prev_sample.scalar_type(), dtype);
      EXPECT_EQ(result.pred_original_sample.sizes(), sample.sizes());
      EXPECT_TRUE(result.prev_sample.isfinite().all().item<bool>()) << "step " << i;
      EXPECT_TRUE(result.pred_original_sample.isfinite().all().item<bool>()) << "step " << i;
      sample = result.prev_sample;
    }
  }
}

TEST_P(SchedulerContract, SameSeedSameResultDifferentSeedDifferentResult) {
  const auto scheduler = make();
  const auto drawn = draw(*scheduler, 5);
  EXPECT_TRUE(at::equal(drawn, draw(*make(), 5)));
  EXPECT_TRUE(at::equal(drawn, draw(*scheduler, 5))) << "set_timesteps keeps the history of the last run";
  EXPECT_FALSE(at::equal(drawn, draw(*scheduler, 6)));
}

TEST_P(SchedulerContract, ResultDependsOnEveryModelOutput) {
  // Without thresholding, because clipping can hide a change of an output.
  const auto scheduler = make_scheduler(name(), with(config(), {{"thresholding", false}}), {.eta = 0.4});
  const auto drawn = draw(*scheduler, 5);
  scheduler->set_timesteps(kSteps);
  // A run that ends at sigma_min may reach it before its last step, which then changes nothing. DEIS always ends there.
  const bool ends_early = config().contains("final_sigmas_type") || name().starts_with("deis_");
  for (std::size_t changed = 0; changed + ends_early < scheduler->timesteps().size(); ++changed) {
    NoiseSource noise(5);
    scheduler->set_timesteps(kSteps);
    auto sample = first_latents(*scheduler, noise);
    for (std::size_t i = 0; i < scheduler->timesteps().size(); ++i) {
      auto output = model(scheduler->scale_model_input(sample, i), scheduler->timesteps()[i]);
      if (i == changed) output = output.mul(0.9);
      sample = scheduler->step(output, i, sample, noise).prev_sample;
    }
    EXPECT_FALSE(at::equal(sample, drawn)) << "step " << changed;
  }
}

TEST_P(SchedulerContract, TimestepsNeverIncrease) {
  const auto scheduler = make();
  const bool distilled = name() == "lcm" || name() == "tcd";
  // DPM2 rounds Karras timesteps but not the midpoints between them; the midpoint of the ancestral variant equals the
  // next level except for its last bits.
  const float rounding = name().starts_with("dpm2") ? 0.5f : 0.0f;
  for (const std::int64_t steps : {4, 5, 20, 50, distilled ? 7 : 500}) {
    scheduler->set_timesteps(steps);
    const auto& timesteps = scheduler->timesteps();
    ASSERT_GE(timesteps.size(), static_cast<std::size_t>(steps));
    for (std::size_t i = 1; i < timesteps.size(); ++i) EXPECT_LE(timesteps[i], timesteps[i - 1] + rounding);
  }
}

TEST_P(SchedulerContract, CloneContinuesIndependently) {
  const auto scheduler = make();
  const auto drawn = draw(*make(), 5);
  scheduler->set_timesteps(kSteps);
  NoiseSource noise(5);
  auto sample = first_latents(*scheduler, noise);
  for (std::size_t i = 0; i < scheduler->timesteps().size(); ++i) {
    // A step on a clone leaves the original where it was, so the same step can be taken again.
    const auto clone = scheduler->clone();
    auto copied_noise = noise;
    const auto ahead = advance(*clone, i, sample, copied_noise);
    sample = advance(*scheduler, i, sample, noise);
    EXPECT_TRUE(at::equal(ahead, sample)) << "step " << i;
  }
  EXPECT_TRUE(at::equal(sample, drawn));
}

TEST_P(SchedulerContract, ThrowingStepLeavesStateUnchanged) {
  const auto scheduler = make();
  const auto drawn = draw(*make(), 5);
  scheduler->set_timesteps(kSteps);
  NoiseSource noise(5);
  auto sample = first_latents(*scheduler, noise);
  for (std::size_t i = 0; i < scheduler->timesteps().size(); ++i) {
    const auto wrong_shape = sample.slice(3, 0, 2);
    EXPECT_EQ(code_of([&] { scheduler->step(wrong_shape, i, sample, noise); }), ErrorCode::kInvalidArgument);
    EXPECT_EQ(code_of([&] { scheduler->step(at::Tensor(), i, sample, noise); }), ErrorCode::kInvalidArgument);
    EXPECT_EQ(code_of([&] { scheduler->step(sample.to(at::kInt), i, sample, noise); }), ErrorCode::kInvalidArgument);
    EXPECT_EQ(code_of([&] { scheduler->step(sample.to(at::kMeta), i, sample, noise); }), ErrorCode::kInvalidArgument);
    sample = advance(*scheduler, i, sample, noise);
  }
  EXPECT_TRUE(at::equal(sample, drawn));
}

TEST_P(SchedulerContract, InvalidCallsThrow) {
  const auto scheduler = make();
  NoiseSource noise(1);
  const auto sample = noise.normal({1, 4, 5, 3});
  EXPECT_EQ(code_of([&] { scheduler->step(sample, 0, sample, noise); }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of([&] { scheduler->scale_model_input(sample, 0); }), ErrorCode::kInvalidArgument);
  for (const std::int64_t steps : {INT64_MIN, std::int64_t{-1}, std::int64_t{0}, std::int64_t{1001}, INT64_MAX}) {
    try {
      scheduler->set_timesteps(steps);
      ADD_FAILURE() << "accepts " << steps << " steps";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
      EXPECT_EQ(e.param(), "num_inference_steps");
    }
  }
  scheduler->set_timesteps(kSteps);
  const auto total = scheduler->timesteps().size();
  EXPECT_EQ(code_of([&] { scheduler->step(sample, total, sample, noise); }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of([&] { scheduler->scale_model_input(sample, total); }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of([&] { scheduler->scale_model_input(sample, SIZE_MAX); }), ErrorCode::kInvalidArgument);
}

TEST_P(SchedulerContract, StartsAtAnyInferenceStepFromAnImage) {
  const auto finest = make();
  finest->set_timesteps(kSteps);
  const auto order = static_cast<std::size_t>(finest->order()), total = finest->timesteps().size();
  for (std::size_t first = 0; first < total; first += order) {
    const auto scheduler = make();
    scheduler->set_timesteps(kSteps);
    scheduler->set_begin_index(first);
    NoiseSource noise(1);
    const auto image = noise.normal({1, 4, 5, 3}).to(at::kHalf), over_image = noise.normal({1, 4, 5, 3}).to(at::kHalf);
    const auto image_before = image.clone();
    auto sample = scheduler->add_noise(image, over_image, first);
    EXPECT_EQ(sample.scalar_type(), at::kHalf);
    EXPECT_EQ(sample.sizes(), image.sizes());
    EXPECT_TRUE(at::equal(image, image_before));
    for (std::size_t i = first; i < total; ++i) sample = advance(*scheduler, i, sample, noise);
    EXPECT_TRUE(sample.isfinite().all().item<bool>()) << "from step " << first;
  }
  EXPECT_EQ(code_of([&] { finest->set_begin_index(total); }), ErrorCode::kInvalidArgument);
  if (order > 1) {
    EXPECT_EQ(code_of([&] { finest->set_begin_index(1); }), ErrorCode::kInvalidArgument);
  }
}

TEST_P(SchedulerContract, AddedNoiseNeverIncreases) {
  const auto scheduler = make();
  scheduler->set_timesteps(kSteps);
  NoiseSource noise(1);
  const auto over_image = noise.normal({1, 4, 5, 3}), black = over_image.mul(0);
  double before = INFINITY;
  for (std::size_t i = 0; i < scheduler->timesteps().size(); ++i) {
    const auto size = scheduler->add_noise(black, over_image, i).norm().item<double>();
    EXPECT_GT(size, 0) << "step " << i;
    EXPECT_LE(size, before) << "step " << i;
    before = size;
  }
  EXPECT_EQ(code_of([&] { scheduler->add_noise(black, over_image, scheduler->timesteps().size()); }),
            ErrorCode::kInvalidArgument);
}

// A tensor on the meta device has no values, so reading a value, copying it to the host or branching on it throws. A
// step that runs there never waits for a device. (Thresholding is left out because its operators have no meta kernels.)
TEST_P(SchedulerContract, NeverReadsTensorValuesOfTheSample) {
  const auto scheduler = make_scheduler(name(), with(config(), {{"thresholding", false}}), {.eta = 0.4});
  for (const auto dtype : {at::kFloat, at::kHalf}) {
    scheduler->set_timesteps(kSteps);
    NoiseSource noise(1);
    auto sample = first_latents(*scheduler, noise, dtype).to(at::kMeta);
    for (std::size_t i = 0; i < scheduler->timesteps().size(); ++i) {
      const auto scaled = scheduler->scale_model_input(sample, i);
      const auto result = scheduler->step(at::empty_like(scaled), i, sample, noise);
      EXPECT_TRUE(scaled.is_meta() && result.prev_sample.is_meta() && result.pred_original_sample.is_meta());
      EXPECT_EQ(result.prev_sample.scalar_type(), dtype);
      EXPECT_TRUE(scheduler->add_noise(sample, sample, i).is_meta());
      sample = result.prev_sample;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Table, SchedulerContract,
                         testing::Combine(testing::ValuesIn(scheduler_names()), testing::Range<std::size_t>(0, 4)),
                         [](const auto& test) {
                           return std::get<0>(test.param) + "_" + std::to_string(std::get<1>(test.param));
                         });

// With a history, a skipped or repeated step is rejected; without one, any order is accepted.
TEST(SchedulerHistory, StepsOutOfOrderThrowWhereHistoryMatters) {
  for (const auto& name : scheduler_names()) {
    const auto scheduler = make_scheduler(name, configs()[0]);
    scheduler->set_timesteps(kSteps);
    NoiseSource noise(1);
    const auto sample = noise.normal({1, 4, 5, 3});
    const auto try_step = [&](std::size_t i) { scheduler->step(sample, i, sample, noise); };
    if (scheduler_capabilities(name).has_history) {
      EXPECT_EQ(code_of([&] { try_step(1); }), ErrorCode::kInvalidArgument) << name;
      try_step(0);
      EXPECT_EQ(code_of([&] { try_step(0); }), ErrorCode::kInvalidArgument) << name;
      EXPECT_EQ(code_of([&] { try_step(2); }), ErrorCode::kInvalidArgument) << name;
      EXPECT_NO_THROW(try_step(1)) << name;
    } else {
      EXPECT_NO_THROW(try_step(3)) << name;
      EXPECT_NO_THROW(try_step(0)) << name;
    }
  }
}

TEST(SchedulerProperties, EulerWithTrueNoiseRecoversTheOriginal) {
  const auto scheduler = make_scheduler("euler", stable_diffusion_config());
  scheduler->set_timesteps(5);
  NoiseSource noise(7);
  const auto x0 = noise.normal({1, 4, 8, 8}), eps = noise.normal({1, 4, 8, 8});
  auto sample = x0 + eps.mul(scheduler->init_noise_sigma());
  for (std::size_t i = 0; i < 5; ++i) {
    const auto result = scheduler->step(eps, i, sample, noise);
    // Rounding of samples of about 15 in float32.
    EXPECT_LT((result.pred_original_sample - x0).abs().max().item<float>(), 1e-5f);
    sample = result.prev_sample;
  }
  EXPECT_LT((sample - x0).abs().max().item<float>(), 1e-5f);  // the last sigma is 0
}

TEST(SchedulerCapabilities, EtaChangesResultsOnlyOfSchedulersThatUseIt) {
  for (const auto& name : scheduler_names()) {
    const auto still = make_scheduler(name, configs()[0], {.eta = 0}),
               noisy = make_scheduler(name, configs()[0], {.eta = 1});
    EXPECT_EQ(at::equal(draw(*still, 3), draw(*noisy, 3)), !scheduler_capabilities(name).uses_eta) << name;
    EXPECT_EQ(scheduler_capabilities(name).uses_eta, name == "ddim" || name == "tcd") << name;
  }
}

TEST(SchedulerCapabilities, OrderIsTheNumberOfEvaluationsPerInferenceStep) {
  for (const auto& name : scheduler_names()) {
    EXPECT_EQ(make_scheduler(name, configs()[0])->order(), scheduler_capabilities(name).order) << name;
  }
}

TEST(SchedulerCapabilities, CustomRunsAreRejectedWhereUnsupported) {
  const auto is_rejected = [](const auto& set, const char* param) {
    try {
      set();
    } catch (const Error& e) {
      EXPECT_EQ(e.param(), param);
      return e.code() == ErrorCode::kInvalidArgument;
    }
    return false;
  };
  // Lists that no algorithm rejects for their values. Another placement of sigmas is kUnsupported, not a rejection
  // here.
  const std::vector<double> timesteps{999, 500, 20}, falling{1, 0.5, 0}, rising{0, 0.5, 1};
  for (const auto& name : scheduler_names()) {
    const auto capabilities = scheduler_capabilities(name);
    const auto scheduler = make_scheduler(name, configs()[0]);
    const auto& sigmas = name == "edm_euler" ? rising : falling;
    EXPECT_EQ(is_rejected([&] { scheduler->set_custom_timesteps(timesteps); }, "timesteps"),
              !capabilities.custom_timesteps)
        << name;
    EXPECT_EQ(is_rejected([&] { scheduler->set_custom_sigmas(sigmas); }, "sigmas"), !capabilities.custom_sigmas)
        << name;
  }
}

TEST(SchedulerCapabilities, SigmaIsTheFactorOfAddedNoiseWhereX0IsNotScaled) {
  const auto one = at::ones({1, 1}), zero = at::zeros({1, 1});
  for (const auto& name : scheduler_names()) {
    const auto scheduler = make_scheduler(name, configs()[0]);
    EXPECT_THROW(scheduler->sigma(0), Error) << name;
    scheduler->set_timesteps(kSteps);
    for (std::size_t i = 0; i < scheduler->timesteps().size(); ++i) {
      const auto sigma = scheduler->sigma(i);
      ASSERT_EQ(sigma.has_value(), scheduler_capabilities(name).has_sigma) << name;
      const bool x0_is_scaled = scheduler->add_noise(one, zero, i).item<float>() != 1.0f;
      EXPECT_EQ(x0_is_scaled, !sigma.has_value()) << name << " step " << i;
      EXPECT_EQ(sigma.value_or(0), sigma ? scheduler->add_noise(zero, one, i).item<float>() : 0)
          << name << " step " << i;
    }
    EXPECT_THROW(scheduler->sigma(scheduler->timesteps().size()), Error) << name;
  }
}

}  // namespace
}  // namespace easel
