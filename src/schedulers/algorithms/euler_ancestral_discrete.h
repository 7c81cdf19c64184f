// Euler ancestral.
#pragma once

#include "schedulers/algorithms/sigma_scheduler.h"
#include "schedulers/schedule/noise_schedule.h"
#include "schedulers/schedule/prediction_type.h"

namespace easel {

/// Euler's method (see EulerDiscreteScheduler) to a lower noise level than the next one, then fresh noise up to it;
/// after Crowson's k-diffusion. Numbers agree with diffusers 0.42.1, scheduling_euler_ancestral_discrete.py.
class EulerAncestralDiscreteScheduler final : public SigmaScheduler {
 public:
  EulerAncestralDiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<EulerAncestralDiscreteScheduler>(*this); }
  void set_timesteps(std::int64_t num_inference_steps) override;
  double init_noise_sigma() const override { return initial_noise_sigma(sigmas_, timestep_spacing_); }
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  NoiseSchedule schedule_;
  PredictionType prediction_type_;
  TimestepSpacing timestep_spacing_;
  std::int64_t steps_offset_;
};

}  // namespace easel
