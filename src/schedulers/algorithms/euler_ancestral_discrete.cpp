#include "schedulers/algorithms/euler_ancestral_discrete.h"

#include "easel/noise.h"
#include "schedulers/numerics/numpy_math.h"
#include "schedulers/numerics/tensor_math.h"

namespace easel {

EulerAncestralDiscreteScheduler::EulerAncestralDiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : schedule_(read_noise_schedule(arguments, ZeroTerminalSnr::kNearlyZero)),
      prediction_type_(read_prediction_type(arguments, SupportedPredictions::kEpsilonAndV)),
      timestep_spacing_(read_timestep_spacing(arguments, "linspace")),
      steps_offset_(read_steps_offset(arguments, timestep_spacing_)) {}

void EulerAncestralDiscreteScheduler::set_timesteps(std::int64_t num_inference_steps) {
  check_num_inference_steps(num_inference_steps, schedule_);
  const auto spaced =
      spaced_timesteps(timestep_spacing_, num_inference_steps, schedule_.num_train_timesteps, steps_offset_);
  timesteps_.assign(spaced.begin(), spaced.end());
  const auto training_sigmas = schedule_.sigmas();
  std::vector<double> sigmas;
  for (const float timestep : timesteps_) sigmas.push_back(numpy::interp(timestep, training_sigmas));
  sigmas_ = sigma_tensor(sigmas, 0.0);
}

Scheduler::Step EulerAncestralDiscreteScheduler::step(const at::Tensor& model_output, std::size_t step_index,
                                                      const at::Tensor& half_or_float_sample, NoiseSource& noise) {
  check_step_index(step_index);
  check_tensors(model_output, half_or_float_sample);
  const auto sigma_from = sigma(step_index), sigma_to = sigma(step_index + 1);
  const auto sample = half_or_float_sample.to(at::kFloat);
  const auto pred_original_sample = predict_original_sample(prediction_type_, model_output, sample, sigma_from);

  const auto sigma_up = square_root(square(sigma_to) * (square(sigma_from) - square(sigma_to)) / square(sigma_from));
  const auto sigma_down = square_root(square(sigma_to) - square(sigma_up));
  const auto derivative = (sample - pred_original_sample) / sigma_from;
  const auto moved = sample + derivative * (sigma_down - sigma_from);
  const auto prev_sample = moved + noise.normal_like(model_output) * sigma_up;
  return {prev_sample.to(model_output.scalar_type()), pred_original_sample};
}

}  // namespace easel
