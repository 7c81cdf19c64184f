// LCM: Luo et al. 2023 (arXiv:2310.04378).
#include <ATen/ops/scalar_tensor.h>

#include "easel/noise.h"
#include "schedulers/algorithms/algorithms.h"
#include "schedulers/numerics/tensor_math.h"
#include "schedulers/schedule/clipping.h"
#include "schedulers/schedule/distilled_timesteps.h"
#include "schedulers/schedule/run.h"
#include "schedulers/schedule/sample_space.h"

namespace easel {
namespace {

/// Luo et al. 2023 (arXiv:2310.04378), multistep consistency sampling: each step predicts x0 and adds fresh noise to
/// it, for the next timestep; the last adds none. It keeps no history, so steps may be taken in any order. Numbers
/// agree with diffusers 0.42.1, scheduling_lcm.py.
class LCMScheduler final : public Scheduler {
 public:
  LCMScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<LCMScheduler>(*this); }
  const std::vector<float>& timesteps() const override { return run_.timesteps(); }
  void set_begin_index(std::size_t first_step) override { run_.begin_at(first_step, order()); }
  void set_timesteps(std::int64_t num_inference_steps) override {
    run_ = distilled_timesteps_.run(num_inference_steps, space_.schedule);
  }
  void set_custom_timesteps(const std::vector<double>& timesteps) override {
    run_ = distilled_timesteps_.run_at(timesteps, space_.schedule);
  }
  bool applies_strength() const override { return distilled_timesteps_.applies_strength(); }
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, std::size_t step_index) const override {
    run_.check_index(step_index);
    return space_.add_noise(original, noise, run_.timestep(step_index));
  }
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  at::Tensor denoised(const at::Tensor& model_output, const at::Tensor& sample, std::int64_t timestep) const;

  AlphaSpace space_;
  DistilledTimesteps distilled_timesteps_;
  Clipping clipping_;
  double timestep_scaling_;
  Run run_;
};

LCMScheduler::LCMScheduler(SchedulerArguments& arguments, const SchedulerOptions& options)
    : space_(read_distilled_space(arguments)),
      distilled_timesteps_(arguments, options, space_.schedule),
      clipping_(arguments, /*clip_sample=*/false),
      timestep_scaling_(arguments.number("timestep_scaling", 10.0)) {}

Scheduler::Step LCMScheduler::step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
                                   NoiseSource& noise) {
  run_.check_index(step_index);
  check_tensors(model_output, sample);
  Step result;
  result.prev_sample = result.pred_original_sample = denoised(model_output, sample, run_.timestep(step_index));
  if (!run_.is_last(step_index)) {
    const auto alpha_prod_prev = space_.schedule.alpha_prod(run_.timestep(step_index + 1));
    result.prev_sample = square_root(alpha_prod_prev) * result.pred_original_sample +
                         square_root(one_minus(alpha_prod_prev)) * noise.normal_like(model_output);
  }
  return result;
}

at::Tensor LCMScheduler::denoised(const at::Tensor& model_output, const at::Tensor& sample,
                                  std::int64_t timestep) const {
  const auto original_sample = clipping_(space_.to_x0(model_output, sample, space_.schedule.alpha_prod(timestep)));
  // The boundary condition: at timestep 0 the model returns its input.
  constexpr double kVarianceOfData = 0.5 * 0.5;
  const auto scaled_timestep = at::scalar_tensor(static_cast<double>(timestep), at::kFloat) * timestep_scaling_;
  const auto variance = square(scaled_timestep) + kVarianceOfData;
  const auto c_skip = one_over(variance) * kVarianceOfData, c_out = scaled_timestep / square_root(variance);
  return c_out * original_sample + c_skip * sample;
}

}  // namespace

std::unique_ptr<Scheduler> make_lcm(SchedulerArguments& arguments, const SchedulerOptions& options) {
  return std::make_unique<LCMScheduler>(arguments, options);
}

}  // namespace easel
