// PNDM.
#pragma once

#include "schedulers/algorithms/alpha_scheduler.h"

namespace easel {

/// Liu et al. 2022 (arXiv:2202.09778): a linear multistep method ("PLMS") after a warm-up, which is three Runge-Kutta
/// steps of four model evaluations ("PRK"), or with skip_prk_steps one evaluation that is done twice. So a run has
/// num_inference_steps + 9 or + 1 steps. Numbers agree with diffusers 0.42.1, scheduling_pndm.py.
class PNDMScheduler final : public AlphaScheduler {
 public:
  PNDMScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<PNDMScheduler>(*this); }
  /// @throws Error(kInvalidArgument)  also below 4 when PRK steps are not skipped
  void set_timesteps(std::int64_t num_inference_steps) override;
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  // Replaced as a whole when a step is done; no tensor in it is ever written to.
  struct History {
    std::size_t steps_done = 0;
    std::vector<at::Tensor> ets;  // up to four model outputs, the newest last
    at::Tensor cur_sample;        // where the warm-up started
    at::Tensor cur_model_output;  // weighted sum within one Runge-Kutta step
  };

  // Both compute the next sample and turn `history`, a copy, into what it is after the step.
  at::Tensor step_prk(const at::Tensor& model_output, const at::Tensor& sample, History& history) const;
  at::Tensor step_plms(const at::Tensor& model_output, const at::Tensor& sample, History& history) const;
  at::Tensor prev_sample(const at::Tensor& sample, std::int64_t timestep, std::int64_t prev_timestep,
                         const at::Tensor& model_output) const;

  at::Tensor final_alpha_cumprod_;  // 0-dim; what precedes timestep 0
  bool skip_prk_steps_;
  TimestepSpacing timestep_spacing_;
  std::int64_t steps_offset_;
  std::int64_t step_ratio_ = 0;  // training timesteps from one inference step to the next, rounded down
  std::size_t prk_steps_ = 0;    // how many steps the Runge-Kutta phase takes
  History history_;
};

}  // namespace easel
