// Heun.
#pragma once

#include "schedulers/algorithms/k_diffusion_scheduler.h"

namespace easel {

/// Karras et al. 2022 (arXiv:2206.00364), Alg. 2 with S_churn = 0: an Euler step, then the same step again with the
/// mean of the slopes at both ends. So a run has 2 * num_inference_steps - 1 steps, as the last one, to sigma 0, is
/// Euler's. Numbers agree with diffusers 0.42.1, scheduling_heun_discrete.py.
class HeunDiscreteScheduler final : public KDiffusionScheduler {
 public:
  HeunDiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<HeunDiscreteScheduler>(*this); }
  std::int64_t order() const override { return 2; }
  void set_custom_timesteps(const std::vector<double>& timesteps) override;
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  void begin(const KDiffusionSchedule::Run& run) override;

  bool clip_sample_;
  double clip_sample_range_;
  // History: where the Euler step started, and its slope there.
  at::Tensor sample_;
  at::Tensor derivative_;
};

}  // namespace easel
