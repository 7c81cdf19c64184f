// What schedulers have in common whose samples are sqrt(alpha) * x0 + sqrt(1 - alpha) * eps.
#pragma once

#include "easel/scheduler.h"
#include "schedulers/schedule/noise_schedule.h"
#include "schedulers/schedule/prediction_type.h"

namespace easel {

/// Base of DDIM, DDPM, PNDM, LCM and TCD. They visit whole timesteps, and all that they know of a noise level is the
/// running product alpha of training at its timestep.
class AlphaScheduler : public Scheduler {
 public:
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, std::size_t step_index) const final;

 protected:
  AlphaScheduler(NoiseSchedule schedule, PredictionType prediction_type)
      : schedule_(std::move(schedule)), prediction_type_(prediction_type) {}

  std::int64_t timestep(std::size_t step_index) const { return static_cast<std::int64_t>(timesteps_[step_index]); }

  /// What the model says, as x0 or as the noise. @param alpha_prod  0-dim, at the sample's noise level
  at::Tensor original_sample_from(const at::Tensor& model_output, const at::Tensor& sample,
                                  const at::Tensor& alpha_prod) const;
  at::Tensor epsilon_from(const at::Tensor& model_output, const at::Tensor& sample, const at::Tensor& alpha_prod) const;

  NoiseSchedule schedule_;
  PredictionType prediction_type_;
};

/// @throws Error(kInvalidArgument)  not 0 to 1; param eta
double checked_eta(const SchedulerOptions& options);

}  // namespace easel
