// How a sample is composed of x0 and noise, and how x0 is recovered from a model's output.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "schedulers/schedule/noise_schedule.h"
#include "schedulers/schedule/scheduler_arguments.h"

namespace easel {

/// What a network's output means.
enum class PredictionType {
  kEpsilon,         ///< the noise
  kSample,          ///< x0
  kVPrediction,     ///< Salimans and Ho 2022 (arXiv:2202.00512): sqrt(alpha) * eps - sqrt(1 - alpha) * x0
  kFlowPrediction,  ///< the velocity from x0 to the noise
};

/// Which of them a class supports.
enum class SupportedPredictions { kEpsilonAndV, kAllButFlow, kAll };

/// `prediction_type`, epsilon by default in every class.
/// @throws Error(kUnsupported)  not one that the class supports
PredictionType read_prediction_type(SchedulerArguments& arguments, SupportedPredictions supported);

/// Samples are sqrt(alpha) * x0 + sqrt(1 - alpha) * eps, where alpha is the running product of training at a whole
/// timestep: DDIM, DDPM, PNDM, LCM and TCD. A model sees the sample as it is.
struct AlphaSpace {
  NoiseSchedule schedule;
  PredictionType prediction_type;  ///< epsilon, sample or v_prediction

  /// @throws nothing of its own; `timestep` must lie within the schedule
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, std::int64_t timestep) const {
    return schedule.add_noise(original, noise, timestep);
  }
  /// The model's output as x0. @param alpha_prod  0-dim, at the sample's noise level
  at::Tensor to_x0(const at::Tensor& model_output, const at::Tensor& sample, const at::Tensor& alpha_prod) const;
  /// The model's output as the noise in `sample`.
  at::Tensor to_epsilon(const at::Tensor& model_output, const at::Tensor& sample, const at::Tensor& alpha_prod) const;
};

/// Samples are x0 + sigma * eps (Karras et al. 2022, arXiv:2206.00364): Euler's variants and the schedulers that follow
/// k-diffusion. A model sees the sample scaled to unit variance. `sigma` is 0-dim float32.
struct SigmaSpace {
  PredictionType prediction_type;  ///< epsilon, sample or v_prediction

  static at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, const at::Tensor& sigma);
  /// sample / sqrt(sigma^2 + 1)
  static at::Tensor scale_input(const at::Tensor& sample, const at::Tensor& sigma);
  /// x0 from the output of a model that was given scale_input(sample, sigma).
  at::Tensor to_x0(const at::Tensor& model_output, const at::Tensor& sample, const at::Tensor& sigma) const;
};

/// The value of a sigma on the CPU.
inline float value_of(const at::Tensor& sigma) {
  return *sigma.const_data_ptr<float>();
}

}  // namespace easel
