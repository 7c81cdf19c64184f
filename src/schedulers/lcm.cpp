#include "schedulers/lcm.h"

#include <ATen/ops/clamp.h>
#include <ATen/ops/scalar_tensor.h>

#include "schedulers/tensor_math.h"
#include "tensor/noise_source.h"

namespace easel {

LCMScheduler::LCMScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : schedule_(read_noise_schedule(arguments, ZeroTerminalSnr::kExact,
                                    {.beta_start = 0.00085, .beta_end = 0.012, .beta_schedule = "scaled_linear"})),
      distilled_timesteps_(arguments, schedule_),
      prediction_type_(read_prediction_type(arguments, {{"epsilon", PredictionType::kEpsilon},
                                                        {"sample", PredictionType::kSample},
                                                        {"v_prediction", PredictionType::kVPrediction}})),
      clip_sample_(arguments.flag("clip_sample", false)),
      clip_sample_range_(clip_sample_ ? arguments.number("clip_sample_range", 1.0) : 0.0),
      thresholding_(arguments),
      timestep_scaling_(arguments.number("timestep_scaling", 10.0)) {}

void LCMScheduler::set_timesteps(std::int64_t num_inference_steps) {
  timesteps_ = distilled_timesteps_.spread(num_inference_steps, schedule_);
}

void LCMScheduler::set_custom_timesteps(const std::vector<double>& timesteps) {
  timesteps_ = whole_timesteps(timesteps, schedule_);
}

Scheduler::Step LCMScheduler::step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
                                   NoiseSource& noise) {
  check_step_index(step_index);
  check_tensors(model_output, sample);
  Step result;
  result.prev_sample = result.pred_original_sample = denoised(model_output, sample, timesteps_[step_index]);
  if (step_index + 1 < timesteps_.size()) {
    const auto alpha_prod_prev = schedule_.alpha_prod(static_cast<std::int64_t>(timesteps_[step_index + 1]));
    result.prev_sample = square_root(alpha_prod_prev) * result.pred_original_sample +
                         square_root(one_minus(alpha_prod_prev)) * noise.normal_like(model_output);
  }
  return result;
}

at::Tensor LCMScheduler::denoised(const at::Tensor& model_output, const at::Tensor& sample, float timestep) const {
  const auto alpha_prod = schedule_.alpha_prod(static_cast<std::int64_t>(timestep));
  const auto signal = square_root(alpha_prod), noise = square_root(one_minus(alpha_prod));
  auto original_sample = model_output;
  if (prediction_type_ == PredictionType::kEpsilon) {
    original_sample = (sample - noise * model_output) / signal;
  } else if (prediction_type_ == PredictionType::kVPrediction) {
    original_sample = signal * sample - noise * model_output;
  }
  if (thresholding_.enabled()) {
    original_sample = thresholding_(original_sample);
  } else if (clip_sample_) {
    original_sample = at::clamp(original_sample, -clip_sample_range_, clip_sample_range_);
  }
  // The boundary condition: at timestep 0 the model returns its input.
  constexpr double kVarianceOfData = 0.5 * 0.5;
  const auto scaled_timestep = at::scalar_tensor(timestep, at::kFloat) * timestep_scaling_;
  const auto variance = square(scaled_timestep) + kVarianceOfData;
  const auto c_skip = one_over(variance) * kVarianceOfData, c_out = scaled_timestep / square_root(variance);
  return c_out * original_sample + c_skip * sample;
}

}  // namespace easel
