// DEIS.
#pragma once

#include "easel/scheduler.h"
#include "schedulers/dpmsolver_schedule.h"
#include "schedulers/dpmsolver_update.h"
#include "schedulers/dynamic_thresholding.h"
#include "schedulers/noise_schedule.h"
#include "schedulers/prediction_type.h"

namespace easel {

/// Zhang and Chen 2022 (arXiv:2204.13902), log-rho multistep, orders 1 to 3. A run ends at the smallest sigma of
/// training rather than 0. Numbers agree with diffusers 0.42.1, scheduling_deis_multistep.py.
class DEISMultistepScheduler final : public Scheduler {
 public:
  DEISMultistepScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<DEISMultistepScheduler>(*this); }
  void set_timesteps(std::int64_t num_inference_steps) override;
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  NoiseLevel level(std::size_t index) const;
  int order_of(std::size_t step_index) const;
  at::Tensor prev_sample(const std::vector<at::Tensor>& outputs, const at::Tensor& sample,
                         std::size_t step_index) const;

  NoiseSchedule schedule_;
  DpmSolverSchedule run_schedule_;
  PredictionType prediction_type_;
  std::int64_t solver_order_;
  bool lower_order_final_;
  DynamicThresholding thresholding_;
  at::Tensor sigmas_;  // [steps + 1] float32; sigmas_[i] is the noise of step i
  // History: predicted noise, the newest last, solver_order_ of them at most.
  std::size_t steps_done_ = 0;
  std::vector<at::Tensor> model_outputs_;
};

}  // namespace easel
