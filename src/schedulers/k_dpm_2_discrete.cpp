#include "schedulers/k_dpm_2_discrete.h"

#include <ATen/ops/exp.h>
#include <ATen/ops/lerp.h>
#include <ATen/ops/log.h>
#include <ATen/ops/roll.h>

#include "schedulers/tensor_math.h"

namespace easel {

KDPM2DiscreteScheduler::KDPM2DiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : schedule_(
          read_noise_schedule(arguments, ZeroTerminalSnr::kNotAField, {.beta_start = 0.00085, .beta_end = 0.012})),
      schedule_of_run_(arguments, {.rounds_karras_timesteps = true}),
      prediction_type_(read_prediction_type(
          arguments, {{"epsilon", PredictionType::kEpsilon}, {"v_prediction", PredictionType::kVPrediction}})),
      sigmas_(sigma_tensor({}, 1.0)) {}

void KDPM2DiscreteScheduler::set_timesteps(std::int64_t num_inference_steps) {
  check_num_inference_steps(num_inference_steps, schedule_);
  const auto run = schedule_of_run_.run(schedule_, num_inference_steps);
  sigmas_ = sigma_tensor(run.sigmas, 0.0);
  midpoints_ = at::exp(at::lerp(at::log(sigmas_), at::log(at::roll(sigmas_, 1)), 0.5));
  timesteps_ = with_midpoints(run.timesteps, midpoints_.slice(0, 1, -1), log_of(schedule_.sigmas()));
  steps_done_ = 0;
  sample_ = at::Tensor();
}

at::Tensor KDPM2DiscreteScheduler::scale_model_input(const at::Tensor& sample, std::size_t step_index) const {
  check_step_index(step_index);
  const auto level = static_cast<std::int64_t>((step_index + 1) / 2);
  return scale_to_unit_variance(sample, (step_index % 2 == 1 ? midpoints_ : sigmas_).select(0, level));
}

Scheduler::Step KDPM2DiscreteScheduler::step(const at::Tensor& model_output, std::size_t step_index,
                                             const at::Tensor& sample, NoiseSource&) {
  check_step_index(step_index);
  check_in_order(step_index, steps_done_);
  check_tensors(model_output, sample);
  const bool from_midpoint = step_index % 2 == 1;
  const auto from = static_cast<std::int64_t>(step_index / 2);
  const auto sigma = sigmas_.select(0, from), sigma_next = sigmas_.select(0, from + 1);
  const auto midpoint = midpoints_.select(0, from + 1);
  const auto& sigma_here = from_midpoint ? midpoint : sigma;

  Step result;
  result.pred_original_sample = predict_original_sample(prediction_type_, model_output, sample, sigma_here);
  const auto derivative = (sample - result.pred_original_sample) / sigma_here;
  const auto dt = (from_midpoint ? sigma_next : midpoint) - sigma;
  result.prev_sample = (from_midpoint ? sample_ : sample) + derivative * dt;

  sample_ = from_midpoint ? at::Tensor() : sample;
  ++steps_done_;
  return result;
}

}  // namespace easel
