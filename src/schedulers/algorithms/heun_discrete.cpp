#include "schedulers/algorithms/heun_discrete.h"

#include <ATen/ops/clamp.h>

#include "schedulers/numerics/tensor_math.h"

namespace easel {

HeunDiscreteScheduler::HeunDiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : KDiffusionScheduler(arguments, {.beta_start = 0.00085, .beta_end = 0.012, .supports_exp = true}, {},
                          SupportedPredictions::kAllButFlow),
      clip_sample_(arguments.flag("clip_sample", false)),
      clip_sample_range_(clip_sample_ ? arguments.number("clip_sample_range", 1.0) : 0.0) {}

void HeunDiscreteScheduler::set_custom_timesteps(const std::vector<double>& timesteps) {
  check_custom_timesteps(timesteps, schedule_);
  begin(run_schedule_.run_at(schedule_, timesteps));
}

void HeunDiscreteScheduler::begin(const KDiffusionSchedule::Run& run) {
  KDiffusionScheduler::begin(run);
  timesteps_ = repeat_interleaved(run.timesteps);
  sample_ = derivative_ = at::Tensor();
}

Scheduler::Step HeunDiscreteScheduler::step(const at::Tensor& model_output, std::size_t step_index,
                                            const at::Tensor& sample, NoiseSource&) {
  check_step(model_output, step_index, sample);
  const bool corrects = step_index % 2 == 1;
  const auto sigma_from = sigma(step_index / 2), sigma_to = sigma(step_index / 2 + 1);
  const auto& sigma_here = corrects ? sigma_to : sigma_from;

  auto pred_original_sample = predict_x0(model_output, sample, sigma_here);
  if (clip_sample_) pred_original_sample = at::clamp(pred_original_sample, -clip_sample_range_, clip_sample_range_);
  const auto derivative = (sample - pred_original_sample) / sigma_here;
  const auto dt = sigma_to - sigma_from;
  Step result;
  result.pred_original_sample = pred_original_sample;
  result.prev_sample = corrects ? sample_ + (derivative_ + derivative) / 2 * dt : sample + derivative * dt;

  sample_ = corrects ? at::Tensor() : sample;
  derivative_ = corrects ? at::Tensor() : derivative;
  ++steps_done_;
  return result;
}

}  // namespace easel
