#include "schedulers/algorithms/k_dpm_2_ancestral_discrete.h"

#include <ATen/ops/exp.h>
#include <ATen/ops/lerp.h>
#include <ATen/ops/log.h>
#include <ATen/ops/roll.h>

#include "easel/noise.h"
#include "schedulers/numerics/tensor_math.h"

namespace easel {

KDPM2AncestralDiscreteScheduler::KDPM2AncestralDiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : KDiffusionScheduler(arguments, {.beta_start = 0.00085, .beta_end = 0.012}, {.rounds_karras_timesteps = true},
                          SupportedPredictions::kEpsilonAndV) {}

void KDPM2AncestralDiscreteScheduler::begin(const KDiffusionSchedule::Run& run) {
  KDiffusionScheduler::begin(run);
  const auto sigmas_next = at::roll(sigmas_, -1);
  sigmas_next.select(0, -1).fill_(0.0);
  sigmas_up_ = square_root(square(sigmas_next) * (square(sigmas_) - square(sigmas_next)) / square(sigmas_));
  sigmas_down_ = square_root(square(sigmas_next) - square(sigmas_up_));
  sigmas_down_.select(0, -1).fill_(0.0);
  midpoints_ = at::exp(at::lerp(at::log(sigmas_), at::log(sigmas_down_), 0.5));
  midpoints_.slice(0, -2).fill_(0.0);  // the last step goes to 0 at once
  timesteps_ = with_midpoints(run.timesteps, midpoints_.slice(0, 0, -2), log_of(schedule_.sigmas()));
  sample_ = at::Tensor();
}

at::Tensor KDPM2AncestralDiscreteScheduler::sigma_seen(std::size_t step_index) const {
  return (step_index % 2 == 1 ? midpoints_ : sigmas_).select(0, static_cast<std::int64_t>(step_index / 2));
}

Scheduler::Step KDPM2AncestralDiscreteScheduler::step(const at::Tensor& model_output, std::size_t step_index,
                                                      const at::Tensor& sample, NoiseSource& noise) {
  check_step(model_output, step_index, sample);
  const bool from_midpoint = step_index % 2 == 1;
  const auto from = static_cast<std::int64_t>(step_index / 2);
  const auto sigma_from = sigmas_.select(0, from), sigma_here = sigma_seen(step_index);

  Step result;
  result.pred_original_sample = predict_x0(model_output, sample, sigma_here);
  const auto derivative = (sample - result.pred_original_sample) / sigma_here;
  if (from_midpoint) {
    const auto moved = sample_ + derivative * (sigmas_down_.select(0, from) - sigma_from);
    result.prev_sample = moved + noise.normal_like(model_output) * sigmas_up_.select(0, from);
  } else {
    result.prev_sample = sample + derivative * (midpoints_.select(0, from) - sigma_from);
  }

  sample_ = from_midpoint ? at::Tensor() : sample;
  ++steps_done_;
  return result;
}

}  // namespace easel
