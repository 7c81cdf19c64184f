// DPM2.
#pragma once

#include "schedulers/algorithms/k_diffusion_scheduler.h"

namespace easel {

/// Crowson's k-diffusion after Karras et al. 2022 (arXiv:2206.00364) and DPM-Solver-2: an Euler step to the noise level
/// halfway (in log(sigma)), and then the whole step from its start with the slope found there. So a run has
/// 2 * num_inference_steps - 1 steps. Numbers agree with diffusers 0.42.1, scheduling_k_dpm_2_discrete.py.
class KDPM2DiscreteScheduler final : public KDiffusionScheduler {
 public:
  KDPM2DiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<KDPM2DiscreteScheduler>(*this); }
  std::int64_t order() const override { return 2; }
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  void begin(const KDiffusionSchedule::Run& run) override;
  at::Tensor sigma_seen(std::size_t step_index) const override;

  at::Tensor midpoints_;  // [n + 1] float32; midpoints_[k] lies between sigmas_[k - 1] and sigmas_[k]
  at::Tensor sample_;     // history: where the step to the midpoint started
};

}  // namespace easel
