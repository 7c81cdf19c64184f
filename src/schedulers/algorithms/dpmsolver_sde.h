// DPM-Solver SDE.
#pragma once

#include <optional>

#include "schedulers/algorithms/k_diffusion_scheduler.h"

namespace easel {

/// DPM-Solver++ (stochastic) of second order, one evaluation at the start of a step and one halfway; after Crowson's
/// k-diffusion, sample_dpmpp_sde. Noise is one path of Brownian motion over the noise levels (see BrownianTree), so
/// that runs of different step counts follow the same path. Its seed is the config's noise_sampler_seed, or else the
/// image's own; diffusers has a random one in that place. A run has 2 * num_inference_steps - 1 steps. Numbers agree
/// with diffusers 0.42.1, scheduling_dpmsolver_sde.py.
class DPMSolverSDEScheduler final : public KDiffusionScheduler {
 public:
  DPMSolverSDEScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<DPMSolverSDEScheduler>(*this); }
  std::int64_t order() const override { return 2; }
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  void begin(const KDiffusionSchedule::Run& run) override;
  at::Tensor sigma_seen(std::size_t step_index) const override;

  // One step, or its first half, between noise levels; -log(sigma) of each. 0-dim float32.
  struct Span {
    at::Tensor from, to;
  };
  Span span_of(std::size_t step_index) const;
  at::Tensor brownian_noise(const Span& span, const at::Tensor& like, const NoiseSource& noise) const;

  // sigmas_ are [n + 1]: step 2k goes from sigmas_[k] to the midpoint, step 2k + 1 all the way.
  std::optional<std::int64_t> noise_sampler_seed_;
  at::Tensor sample_;  // history: where the step began
};

}  // namespace easel
