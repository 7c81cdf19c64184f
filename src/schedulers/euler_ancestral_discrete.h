// Euler ancestral.
#pragma once

#include "easel/scheduler.h"
#include "schedulers/noise_schedule.h"
#include "schedulers/prediction_type.h"
#include "schedulers/sigma_schedule.h"

namespace easel {

/// Euler's method to a lower noise level than the next one, then fresh noise up to it; after Crowson's k-diffusion.
/// Keeps no history: steps may be taken in any order. Arithmetic on a half sample is float32. Numbers agree with
/// diffusers 0.42.1, scheduling_euler_ancestral_discrete.py.
class EulerAncestralDiscreteScheduler final : public Scheduler {
 public:
  EulerAncestralDiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<EulerAncestralDiscreteScheduler>(*this); }
  void set_timesteps(std::int64_t num_inference_steps) override;
  double init_noise_sigma() const override { return initial_noise_sigma(sigmas_, timestep_spacing_); }
  at::Tensor scale_model_input(const at::Tensor& sample, std::size_t step_index) const override;
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, std::size_t step_index) const override;
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  NoiseSchedule schedule_;
  PredictionType prediction_type_;
  TimestepSpacing timestep_spacing_;
  std::int64_t steps_offset_;
  at::Tensor sigmas_;  // [steps + 1] float32; sigmas_[i] is the noise of step i, the last one is 0
};

}  // namespace easel
