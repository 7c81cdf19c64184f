// Runs described by noise levels: which sigmas they visit, and what Euler's two variants share.
//
// Karras et al. 2022 (arXiv:2206.00364), where x = x0 + sigma * eps.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "schedulers/schedule/noise_schedule.h"
#include "schedulers/schedule/prediction_type.h"
#include "schedulers/schedule/scheduler_arguments.h"

namespace easel {

/// How a run's sigmas lie between its largest and its smallest.
enum class SigmaSpacing {
  kTraining,     ///< those of the run's timesteps
  kKarras,       ///< use_karras_sigmas: Karras et al., eq. 5 with rho = 7
  kExponential,  ///< use_exponential_sigmas: even in log(sigma)
  kBeta,         ///< use_beta_sigmas: quantiles of Beta(0.6, 0.6), dense at both ends (arXiv:2407.12173)
};

/// @throws Error(kUnsupported)  more than one of the three flags
/// @throws Error(kCorruptData)  a null, on which the reference fails
SigmaSpacing read_sigma_spacing(SchedulerArguments& arguments);
/// @throws Error(kUnsupported)  not kTraining, so that sigmas would not follow the timesteps; param timesteps
void require_training_sigmas(SigmaSpacing spacing);

/// `sigma_min` and `sigma_max`, which replace the ends of a run that is not of kTraining.
struct SigmaRange {
  std::optional<double> sigma_min;
  std::optional<double> sigma_max;
};
/// @throws Error(kCorruptData)  not positive
SigmaRange read_sigma_range(SchedulerArguments& arguments);

/// `final_sigmas_type`: what follows the last visited sigma.
enum class FinalSigma { kZero, kSigmaMin };
FinalSigma read_final_sigma(SchedulerArguments& arguments);

/// n sigmas from sigma_max down to sigma_min. @param spacing  any but kTraining
std::vector<double> respaced_sigmas(SigmaSpacing spacing, double sigma_max, double sigma_min,
                                    std::int64_t num_inference_steps);

/// numpy's float32 logarithms.
std::vector<float> log_of(std::span<const float> sigmas);

/// The fractional training timestep of a sigma, interpolated in log(sigma). @param log_sigmas  of training, rising
double sigma_to_timestep(double sigma, std::span<const float> log_sigmas);
/// The same where the reference has a float32 sigma in an array, which makes all but the last sum float32.
double array_sigma_to_timestep(float sigma, std::span<const float> log_sigmas);
/// The same where the reference has it in a tensor, which makes all of it float32.
float tensor_sigma_to_timestep(float sigma, std::span<const float> log_sigmas);
std::vector<double> sigmas_to_timesteps(const std::vector<double>& sigmas, std::span<const float> log_sigmas);

/// float32 on the CPU, `final_sigma` behind the others: [n + 1]
at::Tensor sigma_tensor(const std::vector<double>& sigmas, double final_sigma);

/// sample / sqrt(sigma^2 + 1): what a model trained on unit variance sees.
at::Tensor scale_to_unit_variance(const at::Tensor& sample, const at::Tensor& sigma);

/// x0 from a model that was shown the scaled sample. @param prediction_type  epsilon, sample or v_prediction
at::Tensor predict_original_sample(PredictionType prediction_type, const at::Tensor& model_output,
                                   const at::Tensor& sample, const at::Tensor& sigma);

/// The factor of the first noise in Euler's variants: the largest sigma, or sqrt(sigma^2 + 1) with "leading" spacing.
double initial_noise_sigma(const at::Tensor& sigmas, TimestepSpacing spacing);

}  // namespace easel
