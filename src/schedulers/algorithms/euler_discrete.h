// Euler.
#pragma once

#include "schedulers/algorithms/sigma_scheduler.h"
#include "schedulers/schedule/noise_schedule.h"
#include "schedulers/schedule/prediction_type.h"

namespace easel {

/// Karras et al. 2022 (arXiv:2206.00364), Alg. 2 with S_churn = 0, first order. Keeps no history: steps may be taken in
/// any order. Arithmetic on a half sample is float32. Numbers agree with diffusers 0.42.1,
/// scheduling_euler_discrete.py.
class EulerDiscreteScheduler final : public SigmaScheduler {
 public:
  EulerDiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<EulerDiscreteScheduler>(*this); }
  void set_timesteps(std::int64_t num_inference_steps) override;
  void set_custom_timesteps(const std::vector<double>& timesteps) override;
  void set_custom_sigmas(const std::vector<double>& sigmas) override;
  double init_noise_sigma() const override { return initial_noise_sigma(sigmas_, timestep_spacing_); }
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  enum class Interpolation { kLinear, kLogLinear };  // between training sigmas; `interpolation_type`

  void begin_at(std::vector<float> timesteps, std::int64_t num_inference_steps);
  void begin(std::vector<float> timesteps, const at::Tensor& sigmas);
  std::vector<double> interpolated_sigmas(const std::vector<float>& timesteps, std::span<const float> training_sigmas,
                                          std::int64_t num_inference_steps) const;

  NoiseSchedule schedule_;
  PredictionType prediction_type_;
  Interpolation interpolation_;
  SigmaSpacing sigma_spacing_;
  SigmaRange sigma_range_;
  TimestepSpacing timestep_spacing_;
  bool continuous_timesteps_;  // the model is told log(sigma) / 4
  std::int64_t steps_offset_;
  FinalSigma final_sigma_;
};

}  // namespace easel
