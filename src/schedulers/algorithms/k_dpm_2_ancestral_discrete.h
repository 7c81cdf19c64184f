// DPM2 ancestral.
#pragma once

#include "schedulers/algorithms/k_diffusion_scheduler.h"

namespace easel {

/// DPM2 (see KDPM2DiscreteScheduler) to a lower noise level than the next one, then fresh noise up to it; after
/// Crowson's k-diffusion. Noise is drawn in every second step. Numbers agree with diffusers 0.42.1,
/// scheduling_k_dpm_2_ancestral_discrete.py.
class KDPM2AncestralDiscreteScheduler final : public KDiffusionScheduler {
 public:
  KDPM2AncestralDiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<KDPM2AncestralDiscreteScheduler>(*this); }
  std::int64_t order() const override { return 2; }
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  void begin(const KDiffusionSchedule::Run& run) override;
  at::Tensor sigma_seen(std::size_t step_index) const override;

  // All [n + 1] float32; [k] belongs to the step that starts at sigmas_[k].
  at::Tensor sigmas_down_;  // where the deterministic part ends
  at::Tensor sigmas_up_;    // the noise added there
  at::Tensor midpoints_;    // halfway to sigmas_down_, in log(sigma)
  at::Tensor sample_;       // history: where the step to the midpoint started
};

}  // namespace easel
