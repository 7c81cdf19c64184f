// DPM-Solver and DPM-Solver++, singlestep.
#pragma once

#include "easel/scheduler.h"
#include "schedulers/dpmsolver_schedule.h"
#include "schedulers/dpmsolver_update.h"
#include "schedulers/dynamic_thresholding.h"
#include "schedulers/noise_schedule.h"
#include "schedulers/prediction_type.h"

namespace easel {

/// Lu et al. 2022, DPM-Solver (arXiv:2206.00927) and DPM-Solver++ (arXiv:2211.01095): blocks of as many steps as the
/// order, each step of a block going further from the block's start with one output more. Orders 1 to 3, deterministic
/// or as an SDE. A run has num_inference_steps steps. Numbers agree with diffusers 0.42.1,
/// scheduling_dpmsolver_singlestep.py.
class DPMSolverSinglestepScheduler final : public Scheduler {
 public:
  DPMSolverSinglestepScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<DPMSolverSinglestepScheduler>(*this); }
  void set_timesteps(std::int64_t num_inference_steps) override;
  void set_custom_timesteps(const std::vector<double>& timesteps) override;
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  void begin(DpmSolverSchedule::Run run);
  std::vector<int> orders(std::size_t steps) const;
  NoiseLevel level(std::size_t index) const;
  at::Tensor prev_sample(const std::vector<at::Tensor>& outputs, const at::Tensor& block_sample,
                         std::size_t step_index) const;

  NoiseSchedule schedule_;
  DpmSolverSchedule run_schedule_;
  PredictionType prediction_type_;
  DpmSolverAlgorithm algorithm_;
  DpmSolverType solver_type_;
  std::int64_t solver_order_;
  bool lower_order_final_;
  bool learned_variance_;  // the model output holds variances behind its first three channels
  DynamicThresholding thresholding_;
  at::Tensor sigmas_;        // [steps + 1] float32; sigmas_[i] is the noise of step i
  std::vector<int> orders_;  // [steps]; how many steps into its block each step is
  // History. The outputs are in the algorithm's own terms, x0 or noise; the newest last, solver_order_ of them at most.
  std::size_t steps_done_ = 0;
  std::vector<at::Tensor> model_outputs_;
  at::Tensor block_sample_;  // where the block started
};

}  // namespace easel
