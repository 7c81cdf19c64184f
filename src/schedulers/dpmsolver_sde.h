// DPM-Solver SDE.
#pragma once

#include <optional>

#include "easel/scheduler.h"
#include "schedulers/k_diffusion_schedule.h"
#include "schedulers/noise_schedule.h"
#include "schedulers/prediction_type.h"

namespace easel {

/// DPM-Solver++ (stochastic) of second order, one evaluation at the start of a step and one halfway; after Crowson's
/// k-diffusion, sample_dpmpp_sde. Noise is one path of Brownian motion over the noise levels (see BrownianTree), so
/// that runs of different step counts follow the same path. Its seed is the config's noise_sampler_seed, or else the
/// picture's own; diffusers has a random one in that place. A run has 2 * num_inference_steps - 1 steps. Numbers agree
/// with diffusers 0.42.1, scheduling_dpmsolver_sde.py.
class DPMSolverSDEScheduler final : public Scheduler {
 public:
  DPMSolverSDEScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<DPMSolverSDEScheduler>(*this); }
  std::int64_t order() const override { return 2; }
  void set_timesteps(std::int64_t num_inference_steps) override;
  double init_noise_sigma() const override { return initial_noise_sigma(sigmas_, schedule_of_run_.timestep_spacing()); }
  at::Tensor scale_model_input(const at::Tensor& sample, std::size_t step_index) const override;
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  // One step, or its first half, between noise levels; -log(sigma) of each. 0-dim float32.
  struct Span {
    at::Tensor from, to;
  };
  Span span_of(std::size_t step_index) const;
  at::Tensor brownian_noise(const Span& span, const at::Tensor& like, const NoiseSource& noise) const;
  at::Tensor sigma_here(std::size_t step_index) const;

  NoiseSchedule schedule_;
  KDiffusionSchedule schedule_of_run_;
  PredictionType prediction_type_;
  std::optional<std::int64_t> noise_sampler_seed_;
  at::Tensor
      sigmas_;  // [n + 1] float32, the last one is 0; step 2k goes from sigmas_[k] to the midpoint, 2k + 1 all the way
  // History: where the step began.
  std::size_t steps_done_ = 0;
  at::Tensor sample_;
};

}  // namespace easel
