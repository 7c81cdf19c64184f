// LCM.
#pragma once

#include "easel/scheduler.h"
#include "schedulers/distilled_timesteps.h"
#include "schedulers/dynamic_thresholding.h"
#include "schedulers/noise_schedule.h"
#include "schedulers/prediction_type.h"

namespace easel {

/// Luo et al. 2023 (arXiv:2310.04378), multistep consistency sampling: each step predicts x0 and adds fresh noise to
/// it, for the next timestep; the last adds none. Keeps no history: steps may be taken in any order. Numbers agree with
/// diffusers 0.42.1, scheduling_lcm.py.
class LCMScheduler final : public Scheduler {
 public:
  LCMScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<LCMScheduler>(*this); }
  /// @throws Error(kInvalidArgument)  also above original_inference_steps
  void set_timesteps(std::int64_t num_inference_steps) override;
  void set_custom_timesteps(const std::vector<double>& timesteps) override;
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  at::Tensor denoised(const at::Tensor& model_output, const at::Tensor& sample, float timestep) const;

  NoiseSchedule schedule_;
  DistilledTimesteps distilled_timesteps_;
  PredictionType prediction_type_;
  bool clip_sample_;
  double clip_sample_range_;
  DynamicThresholding thresholding_;
  double timestep_scaling_;
};

}  // namespace easel
