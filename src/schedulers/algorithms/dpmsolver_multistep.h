// DPM-Solver and DPM-Solver++, multistep.
#pragma once

#include "schedulers/algorithms/dpmsolver_scheduler.h"

namespace easel {

/// Lu et al. 2022, DPM-Solver (arXiv:2206.00927) and DPM-Solver++ (arXiv:2211.01095): orders 1 to 3, deterministic or
/// as an SDE. The last model outputs are kept, so steps must come in order. The update of a half sample is float32.
/// Numbers agree with diffusers 0.42.1, scheduling_dpmsolver_multistep.py.
class DPMSolverMultistepScheduler final : public DpmSolverScheduler {
 public:
  DPMSolverMultistepScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<DPMSolverMultistepScheduler>(*this); }
  void set_custom_timesteps(const std::vector<double>& timesteps) override { begin_at(timesteps); }
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  int order_of(std::size_t step_index) const;
  at::Tensor noise_from(const at::Tensor& model_output, const at::Tensor& sample, const NoiseLevel& level) const;

  DpmSolverAlgorithm algorithm_;
  DpmSolverType solver_type_;
  bool euler_at_final_;
  bool learned_variance_;  // the model output holds variances behind its first three channels
};

}  // namespace easel
