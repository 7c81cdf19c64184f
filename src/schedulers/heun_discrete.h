// Heun.
#pragma once

#include "easel/scheduler.h"
#include "schedulers/k_diffusion_schedule.h"
#include "schedulers/noise_schedule.h"
#include "schedulers/prediction_type.h"

namespace easel {

/// Karras et al. 2022 (arXiv:2206.00364), Alg. 2 with S_churn = 0: an Euler step, then the same step again with the
/// mean of the slopes at both ends. So a run has 2 * num_inference_steps - 1 steps, as the last one, to sigma 0, is
/// Euler's. Numbers agree with diffusers 0.42.1, scheduling_heun_discrete.py.
class HeunDiscreteScheduler final : public Scheduler {
 public:
  HeunDiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<HeunDiscreteScheduler>(*this); }
  std::int64_t order() const override { return 2; }
  void set_timesteps(std::int64_t num_inference_steps) override;
  void set_custom_timesteps(const std::vector<double>& timesteps) override;
  double init_noise_sigma() const override { return initial_noise_sigma(sigmas_, schedule_of_run_.timestep_spacing()); }
  at::Tensor scale_model_input(const at::Tensor& sample, std::size_t step_index) const override;
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  void begin(const KDiffusionSchedule::Run& run);

  NoiseSchedule schedule_;
  KDiffusionSchedule schedule_of_run_;
  PredictionType prediction_type_;
  bool clip_sample_;
  double clip_sample_range_;
  at::Tensor sigmas_;  // [n + 1] float32, the last one is 0; steps 2k - 1 and 2k look at sigmas_[k]
  // History: where the Euler step started, and its slope there.
  std::size_t steps_done_ = 0;
  at::Tensor sample_;
  at::Tensor derivative_;
};

}  // namespace easel
