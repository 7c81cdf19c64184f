// DPM-Solver and DPM-Solver++, multistep.
#pragma once

#include "easel/scheduler.h"
#include "schedulers/dpmsolver_schedule.h"
#include "schedulers/dpmsolver_update.h"
#include "schedulers/dynamic_thresholding.h"
#include "schedulers/noise_schedule.h"
#include "schedulers/prediction_type.h"

namespace easel {

/// Lu et al. 2022, DPM-Solver (arXiv:2206.00927) and DPM-Solver++ (arXiv:2211.01095): orders 1 to 3, deterministic or
/// as an SDE. The last model outputs are kept, so steps must come in order. The update of a half sample is float32.
/// Numbers agree with diffusers 0.42.1, scheduling_dpmsolver_multistep.py.
class DPMSolverMultistepScheduler final : public Scheduler {
 public:
  DPMSolverMultistepScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<DPMSolverMultistepScheduler>(*this); }
  void set_timesteps(std::int64_t num_inference_steps) override;
  void set_custom_timesteps(const std::vector<double>& timesteps) override;
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, std::size_t step_index) const override;
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  void begin(DpmSolverSchedule::Run run);
  NoiseLevel level(std::size_t index) const;
  int order_of(std::size_t step_index) const;
  at::Tensor original_sample_from(const at::Tensor& model_output, const at::Tensor& sample,
                                  const NoiseLevel& level) const;
  at::Tensor noise_from(const at::Tensor& model_output, const at::Tensor& sample, const NoiseLevel& level) const;

  NoiseSchedule schedule_;
  DpmSolverSchedule run_schedule_;
  PredictionType prediction_type_;
  DpmSolverAlgorithm algorithm_;
  DpmSolverType solver_type_;
  std::int64_t solver_order_;
  bool lower_order_final_;
  bool euler_at_final_;
  bool learned_variance_;  // the model output holds variances behind its first three channels
  DynamicThresholding thresholding_;
  at::Tensor sigmas_;  // [steps + 1] float32; sigmas_[i] is the noise of step i
  // History. The outputs are in the algorithm's own terms, x0 or noise; the newest last, solver_order_ of them at most.
  std::size_t steps_done_ = 0;
  std::vector<at::Tensor> model_outputs_;
};

}  // namespace easel
