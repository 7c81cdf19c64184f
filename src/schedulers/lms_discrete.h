// LMS.
#pragma once

#include "easel/scheduler.h"
#include "schedulers/k_diffusion_schedule.h"
#include "schedulers/noise_schedule.h"
#include "schedulers/prediction_type.h"

namespace easel {

/// Linear multistep (Adams-Bashforth) in sigma, of order 4 once there is that much history; after Crowson's
/// k-diffusion. Numbers agree with diffusers 0.42.1, scheduling_lms_discrete.py.
class LMSDiscreteScheduler final : public Scheduler {
 public:
  LMSDiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<LMSDiscreteScheduler>(*this); }
  /// @throws Error(kInvalidArgument)  also where two steps would have the same noise level
  void set_timesteps(std::int64_t num_inference_steps) override;
  double init_noise_sigma() const override { return initial_noise_sigma(sigmas_, schedule_of_run_.timestep_spacing()); }
  at::Tensor scale_model_input(const at::Tensor& sample, std::size_t step_index) const override;
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  NoiseSchedule schedule_;
  KDiffusionSchedule schedule_of_run_;
  PredictionType prediction_type_;
  at::Tensor sigmas_;  // [n + 1] float32, the last one is 0
  // History: slopes, the newest last.
  std::size_t steps_done_ = 0;
  std::vector<at::Tensor> derivatives_;
};

}  // namespace easel
