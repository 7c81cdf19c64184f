// DPM2.
#pragma once

#include "easel/scheduler.h"
#include "schedulers/k_diffusion_schedule.h"
#include "schedulers/noise_schedule.h"
#include "schedulers/prediction_type.h"

namespace easel {

/// Crowson's k-diffusion after Karras et al. 2022 (arXiv:2206.00364) and DPM-Solver-2: an Euler step to the noise level
/// halfway (in log(sigma)), and then the whole step from its start with the slope found there. So a run has
/// 2 * num_inference_steps - 1 steps. Numbers agree with diffusers 0.42.1, scheduling_k_dpm_2_discrete.py.
class KDPM2DiscreteScheduler final : public Scheduler {
 public:
  KDPM2DiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<KDPM2DiscreteScheduler>(*this); }
  std::int64_t order() const override { return 2; }
  void set_timesteps(std::int64_t num_inference_steps) override;
  double init_noise_sigma() const override { return initial_noise_sigma(sigmas_, schedule_of_run_.timestep_spacing()); }
  at::Tensor scale_model_input(const at::Tensor& sample, std::size_t step_index) const override;
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  NoiseSchedule schedule_;
  KDiffusionSchedule schedule_of_run_;
  PredictionType prediction_type_;
  at::Tensor sigmas_;     // [n + 1] float32, the last one is 0
  at::Tensor midpoints_;  // [n + 1] float32; midpoints_[k] lies between sigmas_[k - 1] and sigmas_[k]
  // History: where the step to the midpoint started.
  std::size_t steps_done_ = 0;
  at::Tensor sample_;
};

}  // namespace easel
