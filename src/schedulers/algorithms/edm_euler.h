// EDM Euler.
#pragma once

#include "schedulers/algorithms/sigma_scheduler.h"
#include "schedulers/schedule/noise_schedule.h"
#include "schedulers/schedule/prediction_type.h"
#include "schedulers/schedule/scheduler_arguments.h"

namespace easel {

/// Karras et al. 2022 (arXiv:2206.00364), Euler's method with the preconditioning of their Table 1: for models trained
/// so (Playground 2.5). The model is told log(sigma) / 4. Keeps no history: steps may be taken in any order. Arithmetic
/// on a half sample is float32. Numbers agree with diffusers 0.42.1, scheduling_edm_euler.py.
class EDMEulerScheduler final : public SigmaScheduler {
 public:
  EDMEulerScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<EDMEulerScheduler>(*this); }
  void set_timesteps(std::int64_t num_inference_steps) override;
  /// @param sigmas  positions on the way from the largest to the smallest sigma, 0 to 1 and rising; with exponential
  ///                sigmas only their number matters, as in the reference
  void set_custom_sigmas(const std::vector<double>& sigmas) override;
  double init_noise_sigma() const override;
  at::Tensor scale_model_input(const at::Tensor& sample, std::size_t step_index) const override;
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  void begin(const at::Tensor& ramp);

  NoiseSchedule schedule_;  // for its length; its betas play no part
  PredictionType prediction_type_;
  SigmaSpacing sigma_spacing_;
  double sigma_min_;
  double sigma_max_;
  double sigma_data_;  // deviation of the latents that the model was trained on
  double rho_;
  FinalSigma final_sigma_;
};

}  // namespace easel
