#include "schedulers/algorithms/ddim.h"

#include <ATen/ops/ones.h>

#include "easel/noise.h"
#include "schedulers/numerics/tensor_math.h"

namespace easel {

DDIMScheduler::DDIMScheduler(SchedulerArguments& arguments, const SchedulerOptions& options)
    : AlphaScheduler(read_noise_schedule(arguments, ZeroTerminalSnr::kExact),
                     read_prediction_type(arguments, SupportedPredictions::kAllButFlow)),
      final_alpha_cumprod_(arguments.flag("set_alpha_to_one", true) ? at::ones({}, at::kFloat)
                                                                    : schedule_.alpha_prod(0)),
      timestep_spacing_(read_timestep_spacing(arguments, "leading")),
      steps_offset_(read_steps_offset(arguments, timestep_spacing_)),
      clipping_(arguments, /*clip_sample=*/true),
      eta_(checked_eta(options)) {}

void DDIMScheduler::set_timesteps(std::int64_t num_inference_steps) {
  timesteps_ = whole_spaced_timesteps(timestep_spacing_, num_inference_steps, schedule_, steps_offset_);
  num_inference_steps_ = num_inference_steps;
}

Scheduler::Step DDIMScheduler::step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
                                    NoiseSource& noise) {
  check_step_index(step_index);
  check_tensors(model_output, sample);
  const auto prev_timestep = timestep(step_index) - schedule_.num_train_timesteps / num_inference_steps_;
  const auto alpha_prod_t = schedule_.alpha_prod(timestep(step_index));
  const auto alpha_prod_t_prev = prev_timestep >= 0 ? schedule_.alpha_prod(prev_timestep) : final_alpha_cumprod_;
  const auto pred_original_sample = clipping_(original_sample_from(model_output, sample, alpha_prod_t));

  // Equation 16, then 12.
  const auto variance =
      (one_minus(alpha_prod_t_prev) / one_minus(alpha_prod_t)) * one_minus(alpha_prod_t / alpha_prod_t_prev);
  const auto std_dev_t = square_root(variance) * eta_;
  const auto direction_to_t =
      square_root(one_minus(alpha_prod_t_prev) - square(std_dev_t)) * epsilon_from(model_output, sample, alpha_prod_t);
  auto prev_sample = square_root(alpha_prod_t_prev) * pred_original_sample + direction_to_t;
  if (eta_ > 0) prev_sample = prev_sample + std_dev_t * noise.normal_like(model_output);
  return {prev_sample, pred_original_sample};
}

}  // namespace easel
