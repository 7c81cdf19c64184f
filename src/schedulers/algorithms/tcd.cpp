#include "schedulers/algorithms/tcd.h"

#include <cmath>

#include "easel/noise.h"
#include "schedulers/numerics/tensor_math.h"

namespace easel {

TCDScheduler::TCDScheduler(SchedulerArguments& arguments, const SchedulerOptions& options)
    : DistilledScheduler(arguments, options), eta_(checked_eta(options)) {}

Scheduler::Step TCDScheduler::step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
                                   NoiseSource& noise) {
  check_step_index(step_index);
  check_tensors(model_output, sample);
  const bool last = step_index + 1 == timesteps_.size();
  const float prev_timestep = last ? 0.0f : timesteps_[step_index + 1];
  // In float32, as the reference multiplies a tensor of integers.
  const float timestep_s = std::floor(static_cast<float>(1 - eta_) * prev_timestep);
  const auto alpha_prod_t = schedule_.alpha_prod(timestep(step_index));
  const auto alpha_prod_s = schedule_.alpha_prod(static_cast<std::int64_t>(timestep_s));

  Step result;
  result.pred_original_sample = original_sample_from(model_output, sample, alpha_prod_t);
  const auto epsilon = epsilon_from(model_output, sample, alpha_prod_t);
  result.prev_sample =
      square_root(alpha_prod_s) * result.pred_original_sample + square_root(one_minus(alpha_prod_s)) * epsilon;
  if (eta_ > 0 && !last) {
    const auto ratio = schedule_.alpha_prod(static_cast<std::int64_t>(prev_timestep)) / alpha_prod_s;
    result.prev_sample =
        square_root(ratio) * result.prev_sample + square_root(one_minus(ratio)) * noise.normal_like(model_output);
  }
  return result;
}

}  // namespace easel
