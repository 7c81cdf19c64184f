// DPM-Solver and DPM-Solver++, singlestep.
#pragma once

#include "schedulers/algorithms/dpmsolver_scheduler.h"

namespace easel {

/// Lu et al. 2022, DPM-Solver (arXiv:2206.00927) and DPM-Solver++ (arXiv:2211.01095): blocks of as many steps as the
/// order, each step of a block going further from the block's start with one output more. Orders 1 to 3, deterministic
/// or as an SDE. A run has num_inference_steps steps. Numbers agree with diffusers 0.42.1,
/// scheduling_dpmsolver_singlestep.py.
class DPMSolverSinglestepScheduler final : public DpmSolverScheduler {
 public:
  DPMSolverSinglestepScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<DPMSolverSinglestepScheduler>(*this); }
  void set_custom_timesteps(const std::vector<double>& timesteps) override { begin_at(timesteps); }
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  void begin(DpmSolverSchedule::Run run) override;
  std::vector<int> orders(std::size_t steps) const;
  at::Tensor prev_sample(const std::vector<at::Tensor>& outputs, const at::Tensor& block_sample, std::size_t step_index,
                         int order) const;

  DpmSolverAlgorithm algorithm_;
  DpmSolverType solver_type_;
  bool learned_variance_;    // the model output holds variances behind its first three channels
  std::vector<int> orders_;  // [steps]; how many steps into its block each step is
  at::Tensor block_sample_;  // history: where the block started
};

}  // namespace easel
