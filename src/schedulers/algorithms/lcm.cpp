#include "schedulers/algorithms/lcm.h"

#include <ATen/ops/scalar_tensor.h>

#include "easel/noise.h"
#include "schedulers/numerics/tensor_math.h"

namespace easel {

LCMScheduler::LCMScheduler(SchedulerArguments& arguments, const SchedulerOptions& options)
    : DistilledScheduler(arguments, options),
      clipping_(arguments, /*clip_sample=*/false),
      timestep_scaling_(arguments.number("timestep_scaling", 10.0)) {}

Scheduler::Step LCMScheduler::step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
                                   NoiseSource& noise) {
  check_step_index(step_index);
  check_tensors(model_output, sample);
  Step result;
  result.prev_sample = result.pred_original_sample = denoised(model_output, sample, timestep(step_index));
  if (step_index + 1 < timesteps_.size()) {
    const auto alpha_prod_prev = schedule_.alpha_prod(timestep(step_index + 1));
    result.prev_sample = square_root(alpha_prod_prev) * result.pred_original_sample +
                         square_root(one_minus(alpha_prod_prev)) * noise.normal_like(model_output);
  }
  return result;
}

at::Tensor LCMScheduler::denoised(const at::Tensor& model_output, const at::Tensor& sample,
                                  std::int64_t timestep) const {
  const auto original_sample = clipping_(original_sample_from(model_output, sample, schedule_.alpha_prod(timestep)));
  // The boundary condition: at timestep 0 the model returns its input.
  constexpr double kVarianceOfData = 0.5 * 0.5;
  const auto scaled_timestep = at::scalar_tensor(static_cast<double>(timestep), at::kFloat) * timestep_scaling_;
  const auto variance = square(scaled_timestep) + kVarianceOfData;
  const auto c_skip = one_over(variance) * kVarianceOfData, c_out = scaled_timestep / square_root(variance);
  return c_out * original_sample + c_skip * sample;
}

}  // namespace easel
