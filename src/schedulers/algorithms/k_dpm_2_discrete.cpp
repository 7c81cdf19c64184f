#include "schedulers/algorithms/k_dpm_2_discrete.h"

#include <ATen/ops/exp.h>
#include <ATen/ops/lerp.h>
#include <ATen/ops/log.h>
#include <ATen/ops/roll.h>

#include "schedulers/numerics/tensor_math.h"

namespace easel {

KDPM2DiscreteScheduler::KDPM2DiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : KDiffusionScheduler(arguments, {.beta_start = 0.00085, .beta_end = 0.012}, {.rounds_karras_timesteps = true},
                          SupportedPredictions::kEpsilonAndV) {}

void KDPM2DiscreteScheduler::begin(const KDiffusionSchedule::Run& run) {
  KDiffusionScheduler::begin(run);
  midpoints_ = at::exp(at::lerp(at::log(sigmas_), at::log(at::roll(sigmas_, 1)), 0.5));
  timesteps_ = with_midpoints(run.timesteps, midpoints_.slice(0, 1, -1), log_of(schedule_.sigmas()));
  sample_ = at::Tensor();
}

at::Tensor KDPM2DiscreteScheduler::sigma_seen(std::size_t step_index) const {
  const auto level = static_cast<std::int64_t>(level_of(step_index));
  return (step_index % 2 == 1 ? midpoints_ : sigmas_).select(0, level);
}

Scheduler::Step KDPM2DiscreteScheduler::step(const at::Tensor& model_output, std::size_t step_index,
                                             const at::Tensor& sample, NoiseSource&) {
  check_step(model_output, step_index, sample);
  const bool from_midpoint = step_index % 2 == 1;
  const auto from = step_index / 2;
  const auto sigma_from = sigma(from), sigma_here = sigma_seen(step_index);
  const auto sigma_to = from_midpoint ? sigma(from + 1) : midpoints_.select(0, static_cast<std::int64_t>(from) + 1);

  Step result;
  result.pred_original_sample = predict_x0(model_output, sample, sigma_here);
  const auto derivative = (sample - result.pred_original_sample) / sigma_here;
  result.prev_sample = (from_midpoint ? sample_ : sample) + derivative * (sigma_to - sigma_from);

  sample_ = from_midpoint ? at::Tensor() : sample;
  ++steps_done_;
  return result;
}

}  // namespace easel
