// DPM2 ancestral.
#pragma once

#include "easel/scheduler.h"
#include "schedulers/k_diffusion_schedule.h"
#include "schedulers/noise_schedule.h"
#include "schedulers/prediction_type.h"

namespace easel {

/// DPM2 (see KDPM2DiscreteScheduler) to a lower noise level than the next one, then fresh noise up to it; after
/// Crowson's k-diffusion. Noise is drawn in every second step. Numbers agree with diffusers 0.42.1,
/// scheduling_k_dpm_2_ancestral_discrete.py.
class KDPM2AncestralDiscreteScheduler final : public Scheduler {
 public:
  KDPM2AncestralDiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<KDPM2AncestralDiscreteScheduler>(*this); }
  std::int64_t order() const override { return 2; }
  void set_timesteps(std::int64_t num_inference_steps) override;
  double init_noise_sigma() const override { return initial_noise_sigma(sigmas_, schedule_of_run_.timestep_spacing()); }
  at::Tensor scale_model_input(const at::Tensor& sample, std::size_t step_index) const override;
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  NoiseSchedule schedule_;
  KDiffusionSchedule schedule_of_run_;
  PredictionType prediction_type_;
  // All [n + 1] float32; [k] belongs to the step that starts at sigmas_[k].
  at::Tensor sigmas_;       // the last one is 0
  at::Tensor sigmas_down_;  // where the deterministic part ends
  at::Tensor sigmas_up_;    // the noise added there
  at::Tensor midpoints_;    // halfway to sigmas_down_, in log(sigma)
  // History: where the step to the midpoint started.
  std::size_t steps_done_ = 0;
  at::Tensor sample_;
};

}  // namespace easel
