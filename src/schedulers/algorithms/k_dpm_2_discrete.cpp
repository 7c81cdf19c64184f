// DPM2, after Crowson's k-diffusion.
#include <ATen/TensorOperators.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/lerp.h>
#include <ATen/ops/log.h>
#include <ATen/ops/roll.h>

#include "schedulers/algorithms/algorithms.h"
#include "schedulers/schedule/k_diffusion_schedule.h"
#include "schedulers/schedule/run.h"
#include "schedulers/schedule/sample_space.h"

namespace easel {
namespace {

/// Crowson's k-diffusion after Karras et al. 2022 (arXiv:2206.00364) and DPM-Solver-2: an Euler step to the noise level
/// halfway (in log(sigma)), and then the whole step from its start with the slope found there. A run has
/// 2 * num_inference_steps - 1 steps. Numbers agree with diffusers 0.42.1, scheduling_k_dpm_2_discrete.py.
class KDPM2DiscreteScheduler final : public Scheduler {
 public:
  KDPM2DiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<KDPM2DiscreteScheduler>(*this); }
  const std::vector<float>& timesteps() const override { return run_.timesteps(); }
  void set_begin_index(std::size_t first_step) override { run_.begin_at(first_step, order()); }
  double init_noise_sigma() const override { return initial_noise_sigma(run_.sigmas(), schedule_.timestep_spacing()); }
  void set_timesteps(std::int64_t num_inference_steps) override { begin(schedule_.levels(num_inference_steps)); }
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, std::size_t step_index) const override {
    run_.check_index(step_index);
    return SigmaSpace::add_noise(original, noise, run_.sigma(second_order_level(step_index)));
  }
  std::optional<float> sigma(std::size_t step_index) const override {
    run_.check_index(step_index);
    return value_of(run_.sigma(second_order_level(step_index)));
  }
  at::Tensor scale_model_input(const at::Tensor& sample, std::size_t step_index) const override {
    run_.check_index(step_index);
    return SigmaSpace::scale_input(sample, sigma_seen(step_index));
  }
  std::int64_t order() const override { return 2; }
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  void begin(const KDiffusionSchedule::Levels& levels);
  at::Tensor sigma_seen(std::size_t step_index) const;

  KDiffusionSchedule schedule_;
  SigmaSpace space_;
  Run run_;
  at::Tensor midpoints_;  // [n + 1] float32; midpoints_[k] lies between the sigmas of levels k - 1 and k
  at::Tensor sample_;     // history: the sample where the step to the midpoint started
};

KDPM2DiscreteScheduler::KDPM2DiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : schedule_(arguments, KDiffusionClass::kDpm2, {.beta_start = 0.00085, .beta_end = 0.012}),
      space_{read_prediction_type(arguments, SupportedPredictions::kEpsilonAndV)} {}

void KDPM2DiscreteScheduler::begin(const KDiffusionSchedule::Levels& levels) {
  const auto sigmas = sigma_tensor(levels.sigmas, 0.0);
  midpoints_ = at::exp(at::lerp(at::log(sigmas), at::log(at::roll(sigmas, 1)), 0.5));
  run_ = Run(with_midpoints(levels.timesteps, midpoints_.slice(0, 1, -1), schedule_.log_sigmas()), sigmas);
  sample_ = at::Tensor();
}

at::Tensor KDPM2DiscreteScheduler::sigma_seen(std::size_t step_index) const {
  const auto level = static_cast<std::int64_t>(second_order_level(step_index));
  return (step_index % 2 == 1 ? midpoints_ : run_.sigmas()).select(0, level);
}

Scheduler::Step KDPM2DiscreteScheduler::step(const at::Tensor& model_output, std::size_t step_index,
                                             const at::Tensor& sample, NoiseSource&) {
  run_.check_next(step_index);
  check_tensors(model_output, sample);
  const bool from_midpoint = step_index % 2 == 1;
  const auto from = step_index / 2;
  const auto sigma_from = run_.sigma(from), sigma_here = sigma_seen(step_index);
  const auto sigma_to =
      from_midpoint ? run_.sigma(from + 1) : midpoints_.select(0, static_cast<std::int64_t>(from) + 1);

  Step result;
  result.pred_original_sample = space_.to_x0(model_output, sample, sigma_here);
  const auto derivative = (sample - result.pred_original_sample) / sigma_here;
  result.prev_sample = (from_midpoint ? sample_ : sample) + derivative * (sigma_to - sigma_from);

  sample_ = from_midpoint ? at::Tensor() : sample;
  run_.advance();
  return result;
}

}  // namespace

std::unique_ptr<Scheduler> make_k_dpm_2_discrete(SchedulerArguments& arguments, const SchedulerOptions& options) {
  return std::make_unique<KDPM2DiscreteScheduler>(arguments, options);
}

}  // namespace easel
