#include "schedulers/heun_discrete.h"

#include <ATen/ops/clamp.h>

#include "schedulers/tensor_math.h"

namespace easel {

HeunDiscreteScheduler::HeunDiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : schedule_(read_noise_schedule(arguments, ZeroTerminalSnr::kNotAField,
                                    {.beta_start = 0.00085, .beta_end = 0.012, .knows_exp = true})),
      schedule_of_run_(arguments, {}),
      prediction_type_(read_prediction_type(arguments, {{"epsilon", PredictionType::kEpsilon},
                                                        {"sample", PredictionType::kSample},
                                                        {"v_prediction", PredictionType::kVPrediction}})),
      clip_sample_(arguments.flag("clip_sample", false)),
      clip_sample_range_(clip_sample_ ? arguments.number("clip_sample_range", 1.0) : 0.0),
      sigmas_(sigma_tensor({}, 1.0)) {}

void HeunDiscreteScheduler::set_timesteps(std::int64_t num_inference_steps) {
  check_num_inference_steps(num_inference_steps, schedule_);
  begin(schedule_of_run_.run(schedule_, num_inference_steps));
}

void HeunDiscreteScheduler::set_custom_timesteps(const std::vector<double>& timesteps) {
  check_custom_timesteps(timesteps, schedule_);
  begin(schedule_of_run_.run_at(schedule_, timesteps));
}

void HeunDiscreteScheduler::begin(const KDiffusionSchedule::Run& run) {
  timesteps_ = visited_twice(run.timesteps);
  sigmas_ = sigma_tensor(run.sigmas, 0.0);
  steps_done_ = 0;
  sample_ = derivative_ = at::Tensor();
}

at::Tensor HeunDiscreteScheduler::scale_model_input(const at::Tensor& sample, std::size_t step_index) const {
  check_step_index(step_index);
  return scale_to_unit_variance(sample, sigmas_.select(0, static_cast<std::int64_t>((step_index + 1) / 2)));
}

Scheduler::Step HeunDiscreteScheduler::step(const at::Tensor& model_output, std::size_t step_index,
                                            const at::Tensor& sample, NoiseSource&) {
  check_step_index(step_index);
  check_in_order(step_index, steps_done_);
  check_tensors(model_output, sample);
  const bool corrects = step_index % 2 == 1;
  const auto from = static_cast<std::int64_t>(step_index / 2);
  const auto sigma = sigmas_.select(0, from), sigma_next = sigmas_.select(0, from + 1);
  const auto& sigma_here = corrects ? sigma_next : sigma;

  auto pred_original_sample = predict_original_sample(prediction_type_, model_output, sample, sigma_here);
  if (clip_sample_) pred_original_sample = at::clamp(pred_original_sample, -clip_sample_range_, clip_sample_range_);
  const auto derivative = (sample - pred_original_sample) / sigma_here;
  const auto dt = sigma_next - sigma;
  Step result;
  result.pred_original_sample = pred_original_sample;
  result.prev_sample = corrects ? sample_ + (derivative_ + derivative) / 2 * dt : sample + derivative * dt;

  sample_ = corrects ? at::Tensor() : sample;
  derivative_ = corrects ? at::Tensor() : derivative;
  ++steps_done_;
  return result;
}

}  // namespace easel
