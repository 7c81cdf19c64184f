// What the schedulers after Crowson's k-diffusion have in common, beside Euler's variants.
#pragma once

#include "schedulers/algorithms/sigma_scheduler.h"
#include "schedulers/schedule/k_diffusion_schedule.h"
#include "schedulers/schedule/noise_schedule.h"
#include "schedulers/schedule/prediction_type.h"

namespace easel {

/// Base of Heun, LMS, DPM2, DPM2 ancestral and DPM-Solver SDE: the run, whose last sigma is 0, and how far it is.
class KDiffusionScheduler : public SigmaScheduler {
 public:
  void set_timesteps(std::int64_t num_inference_steps) final;
  double init_noise_sigma() const final { return initial_noise_sigma(sigmas_, run_schedule_.timestep_spacing()); }

 protected:
  KDiffusionScheduler(SchedulerArguments& arguments, const NoiseScheduleDefaults& defaults,
                      const KDiffusionTraits& traits, SupportedPredictions predictions);

  /// Begins a run: sets timesteps_ and sigmas_, and forgets the history. Overriders call it and set what else they
  /// have.
  virtual void begin(const KDiffusionSchedule::Run& run);

  /// @throws Error(kInvalidArgument)  as step does
  void check_step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample) const;

  at::Tensor predict_x0(const at::Tensor& model_output, const at::Tensor& sample, const at::Tensor& sigma) const {
    return predict_original_sample(prediction_type_, model_output, sample, sigma);
  }

  NoiseSchedule schedule_;
  KDiffusionSchedule run_schedule_;
  PredictionType prediction_type_;
  std::size_t steps_done_ = 0;
};

}  // namespace easel
