// DDIM: Song et al. 2020 (arXiv:2010.02502).
#include <ATen/ops/ones.h>

#include "easel/noise.h"
#include "schedulers/algorithms/algorithms.h"
#include "schedulers/numerics/tensor_math.h"
#include "schedulers/schedule/clipping.h"
#include "schedulers/schedule/run.h"
#include "schedulers/schedule/sample_space.h"

namespace easel {
namespace {

/// Song et al. 2020 (arXiv:2010.02502), eq. 12 and 16; eta 0 is deterministic, eta 1 is DDPM. It keeps no history, so
/// steps may be taken in any order. Numbers agree with diffusers 0.42.1, scheduling_ddim.py.
class DDIMScheduler final : public Scheduler {
 public:
  DDIMScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<DDIMScheduler>(*this); }
  const std::vector<float>& timesteps() const override { return run_.timesteps(); }
  void set_begin_index(std::size_t first_step) override { run_.begin_at(first_step, order()); }
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, std::size_t step_index) const override {
    run_.check_index(step_index);
    return space_.add_noise(original, noise, run_.timestep(step_index));
  }
  void set_timesteps(std::int64_t num_inference_steps) override;
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  AlphaSpace space_;
  at::Tensor final_alpha_cumprod_;  // 0-dim; the running product below timestep 0
  TimestepSpacing timestep_spacing_;
  std::int64_t steps_offset_;
  Clipping clipping_;
  double eta_;
  std::int64_t num_inference_steps_ = 0;
  Run run_;
};

DDIMScheduler::DDIMScheduler(SchedulerArguments& arguments, const SchedulerOptions& options)
    : space_{read_noise_schedule(arguments, ZeroTerminalSnr::kExact),
             read_prediction_type(arguments, SupportedPredictions::kAllButFlow)},
      final_alpha_cumprod_(arguments.flag("set_alpha_to_one", true) ? at::ones({}, at::kFloat)
                                                                    : space_.schedule.alpha_prod(0)),
      timestep_spacing_(read_timestep_spacing(arguments, "leading")),
      steps_offset_(read_steps_offset(arguments, timestep_spacing_)),
      clipping_(arguments, /*clip_sample=*/true),
      eta_(options.eta) {}

void DDIMScheduler::set_timesteps(std::int64_t num_inference_steps) {
  run_ = Run(whole_spaced_timesteps(timestep_spacing_, num_inference_steps, space_.schedule, steps_offset_));
  num_inference_steps_ = num_inference_steps;
}

Scheduler::Step DDIMScheduler::step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
                                    NoiseSource& noise) {
  run_.check_index(step_index);
  check_tensors(model_output, sample);
  const auto prev_timestep = run_.timestep(step_index) - space_.schedule.num_train_timesteps / num_inference_steps_;
  const auto alpha_prod_t = space_.schedule.alpha_prod(run_.timestep(step_index));
  const auto alpha_prod_t_prev = prev_timestep >= 0 ? space_.schedule.alpha_prod(prev_timestep) : final_alpha_cumprod_;
  const auto pred_original_sample = clipping_(space_.to_x0(model_output, sample, alpha_prod_t));

  // Equation 16, then 12.
  const auto variance =
      (one_minus(alpha_prod_t_prev) / one_minus(alpha_prod_t)) * one_minus(alpha_prod_t / alpha_prod_t_prev);
  const auto std_dev_t = square_root(variance) * eta_;
  const auto direction_to_t = square_root(one_minus(alpha_prod_t_prev) - square(std_dev_t)) *
                              space_.to_epsilon(model_output, sample, alpha_prod_t);
  auto prev_sample = square_root(alpha_prod_t_prev) * pred_original_sample + direction_to_t;
  if (eta_ > 0) prev_sample = prev_sample + std_dev_t * noise.normal_like(model_output);
  return {prev_sample, pred_original_sample};
}

}  // namespace

std::unique_ptr<Scheduler> make_ddim(SchedulerArguments& arguments, const SchedulerOptions& options) {
  return std::make_unique<DDIMScheduler>(arguments, options);
}

}  // namespace easel
