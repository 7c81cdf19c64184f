#include "schedulers/algorithms/ddpm.h"

#include <ATen/ops/clamp.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/log.h>
#include <ATen/ops/ones.h>

#include "easel/error.h"
#include "easel/noise.h"
#include "schedulers/numerics/tensor_math.h"

namespace easel {

DDPMScheduler::DDPMScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : AlphaScheduler(read_noise_schedule(arguments, ZeroTerminalSnr::kExact, {.supports_sigmoid_and_laplace = true}),
                     read_prediction_type(arguments, SupportedPredictions::kAllButFlow)),
      variance_(read_variance(arguments)),
      timestep_spacing_(read_timestep_spacing(arguments, "leading")),
      steps_offset_(read_steps_offset(arguments, timestep_spacing_)),
      clipping_(arguments, /*clip_sample=*/true) {}

DDPMScheduler::Variance DDPMScheduler::read_variance(SchedulerArguments& arguments) {
  // None is what DPM-Solver writes.
  if (arguments.is_null("variance_type")) return Variance::kFixedSmall;
  if (arguments.is("variance_type", "fixed_large_log")) {
    throw arguments.unsupported("variance_type", "it is the root of a negative logarithm");
  }
  return arguments.choice<Variance>("variance_type", "fixed_small",
                                    {{"fixed_small", Variance::kFixedSmall},
                                     {"fixed_small_log", Variance::kFixedSmallLog},
                                     {"fixed_large", Variance::kFixedLarge},
                                     {"learned", Variance::kLearned},
                                     {"learned_range", Variance::kLearnedRange}});
}

void DDPMScheduler::set_timesteps(std::int64_t num_inference_steps) {
  timesteps_ = whole_spaced_timesteps(timestep_spacing_, num_inference_steps, schedule_, steps_offset_);
}

void DDPMScheduler::set_custom_timesteps(const std::vector<double>& timesteps) {
  timesteps_ = whole_custom_timesteps(timesteps, schedule_);
}

Scheduler::Step DDPMScheduler::step(const at::Tensor& full_model_output, std::size_t step_index,
                                    const at::Tensor& sample, NoiseSource& noise) {
  check_step_index(step_index);
  auto model_output = full_model_output;
  at::Tensor predicted_variance;
  if (variance_ == Variance::kLearned || variance_ == Variance::kLearnedRange) {
    if (!sample.defined() || !full_model_output.defined() || sample.dim() < 2 || full_model_output.dim() < 2 ||
        full_model_output.size(1) != 2 * sample.size(1)) {
      throw Error(ErrorCode::kInvalidArgument,
                  "scheduler: a learned variance_type needs twice as many channels in model_output as in sample");
    }
    model_output = full_model_output.narrow(1, 0, sample.size(1));
    predicted_variance = full_model_output.narrow(1, sample.size(1), sample.size(1));
  }
  check_tensors(model_output, sample);

  const bool last = step_index + 1 == timesteps_.size();
  Levels levels;
  levels.alpha_prod = schedule_.alpha_prod(timestep(step_index));
  levels.alpha_prod_prev = last ? at::ones({}, at::kFloat) : schedule_.alpha_prod(timestep(step_index + 1));
  const auto alpha = levels.alpha_prod / levels.alpha_prod_prev;
  levels.beta = one_minus(alpha);
  const auto beta_prod = one_minus(levels.alpha_prod), beta_prod_prev = one_minus(levels.alpha_prod_prev);

  Step result;
  result.pred_original_sample = clipping_(original_sample_from(model_output, sample, levels.alpha_prod));
  // Equation 7.
  const auto original_sample_coeff = square_root(levels.alpha_prod_prev) * levels.beta / beta_prod;
  const auto sample_coeff = square_root(alpha) * beta_prod_prev / beta_prod;
  result.prev_sample = original_sample_coeff * result.pred_original_sample + sample_coeff * sample;
  if (timestep(step_index) > 0) {
    const auto z = noise.normal_like(model_output);
    result.prev_sample = result.prev_sample + std_dev(levels, predicted_variance) * z;
  }
  return result;
}

at::Tensor DDPMScheduler::std_dev(const Levels& levels, const at::Tensor& predicted_variance) const {
  constexpr double kSmallest = 1e-20;  // the reference's guard against log(0)
  const auto variance = at::clamp(one_minus(levels.alpha_prod_prev) / one_minus(levels.alpha_prod) * levels.beta,
                                  kSmallest, std::nullopt);
  switch (variance_) {
    case Variance::kFixedSmallLog:
      return at::exp(at::log(variance) * 0.5);
    case Variance::kFixedLarge:
      return square_root(levels.beta);
    case Variance::kLearned:
      return square_root(predicted_variance);
    case Variance::kLearnedRange: {
      const auto share = (predicted_variance + 1) / 2;
      return at::exp((share * at::log(levels.beta) + one_minus(share) * at::log(variance)) * 0.5);
    }
    case Variance::kFixedSmall:
      break;
  }
  return square_root(variance);
}

}  // namespace easel
