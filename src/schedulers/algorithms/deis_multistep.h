// DEIS.
#pragma once

#include "schedulers/algorithms/dpmsolver_scheduler.h"

namespace easel {

/// Zhang and Chen 2022 (arXiv:2204.13902), log-rho multistep, orders 1 to 3. A run ends at the smallest sigma of
/// training rather than 0. Numbers agree with diffusers 0.42.1, scheduling_deis_multistep.py.
class DEISMultistepScheduler final : public DpmSolverScheduler {
 public:
  DEISMultistepScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<DEISMultistepScheduler>(*this); }
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  int order_of(std::size_t step_index) const;
  at::Tensor prev_sample(const std::vector<at::Tensor>& outputs, const at::Tensor& sample,
                         std::size_t step_index) const;
};

}  // namespace easel
