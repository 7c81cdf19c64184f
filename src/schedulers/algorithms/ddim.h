// DDIM.
#pragma once

#include "schedulers/algorithms/alpha_scheduler.h"
#include "schedulers/schedule/clipping.h"

namespace easel {

/// Song et al. 2020 (arXiv:2010.02502), eq. 12 and 16; eta 0 is deterministic, eta 1 is DDPM. Keeps no history: steps
/// may be taken in any order. Numbers agree with diffusers 0.42.1, scheduling_ddim.py.
class DDIMScheduler final : public AlphaScheduler {
 public:
  DDIMScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<DDIMScheduler>(*this); }
  void set_timesteps(std::int64_t num_inference_steps) override;
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  at::Tensor final_alpha_cumprod_;  // 0-dim; what precedes timestep 0
  TimestepSpacing timestep_spacing_;
  std::int64_t steps_offset_;
  Clipping clipping_;
  double eta_;
  std::int64_t num_inference_steps_ = 0;
};

}  // namespace easel
