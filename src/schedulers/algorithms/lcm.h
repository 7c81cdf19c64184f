// LCM.
#pragma once

#include "schedulers/algorithms/distilled_scheduler.h"
#include "schedulers/schedule/clipping.h"

namespace easel {

/// Luo et al. 2023 (arXiv:2310.04378), multistep consistency sampling: each step predicts x0 and adds fresh noise to
/// it, for the next timestep; the last adds none. Keeps no history: steps may be taken in any order. Numbers agree with
/// diffusers 0.42.1, scheduling_lcm.py.
class LCMScheduler final : public DistilledScheduler {
 public:
  LCMScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<LCMScheduler>(*this); }
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  at::Tensor denoised(const at::Tensor& model_output, const at::Tensor& sample, std::int64_t timestep) const;

  Clipping clipping_;
  double timestep_scaling_;
};

}  // namespace easel
