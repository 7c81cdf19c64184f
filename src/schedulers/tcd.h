// TCD.
#pragma once

#include "easel/scheduler.h"
#include "schedulers/distilled_timesteps.h"
#include "schedulers/noise_schedule.h"
#include "schedulers/prediction_type.h"

namespace easel {

/// Zheng et al. 2024 (arXiv:2402.19159), strategic stochastic sampling: each step goes straight to a timestep below the
/// next one, (1 - eta) of the way up from 0, and from there by fresh noise up to the next; eta 0 is deterministic.
/// Keeps no history: steps may be taken in any order. Numbers agree with diffusers 0.42.1, scheduling_tcd.py.
class TCDScheduler final : public Scheduler {
 public:
  TCDScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<TCDScheduler>(*this); }
  /// @throws Error(kInvalidArgument)  also above original_inference_steps
  void set_timesteps(std::int64_t num_inference_steps) override;
  void set_custom_timesteps(const std::vector<double>& timesteps) override;
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  NoiseSchedule schedule_;
  DistilledTimesteps distilled_timesteps_;
  PredictionType prediction_type_;
  double eta_;
};

}  // namespace easel
