// Runs described by noise levels: which sigmas they visit, and which timesteps belong to them.
//
// Karras et al. 2022 (arXiv:2206.00364), where x = x0 + sigma * eps.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "schedulers/schedule/noise_schedule.h"
#include "schedulers/schedule/scheduler_arguments.h"

namespace easel {

/// How a run's sigmas are spaced between its largest and its smallest.
enum class SigmaSpacing {
  kTraining,     ///< the training sigmas at the run's timesteps
  kKarras,       ///< use_karras_sigmas: Karras et al., eq. 5 with rho = 7
  kExponential,  ///< use_exponential_sigmas: even in log(sigma)
  kBeta,         ///< use_beta_sigmas: quantiles of Beta(0.6, 0.6), dense at both ends (arXiv:2407.12173)
};

/// Reads the three flags. @throws Error(kUnsupported)  more than one of them is true
/// @throws Error(kCorruptData)  a null, on which the reference fails
SigmaSpacing read_sigma_spacing(SchedulerArguments& arguments);
/// For custom timesteps. @throws Error(kUnsupported)  not kTraining, so sigmas do not follow timesteps; param timesteps
void require_training_sigmas(SigmaSpacing spacing);

/// `sigma_min` and `sigma_max`, which replace the ends of a run unless its spacing is kTraining.
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

/// The logarithms as numpy computes them in float32.
std::vector<float> log_of(std::span<const float> sigmas);

/// The fractional training timestep of a sigma, interpolated in log(sigma). @param log_sigmas  of training, rising
double sigma_to_timestep(double sigma, std::span<const float> log_sigmas);
/// The same for a sigma that the reference has as a float32 array, so that all but the last sum is float32.
double array_sigma_to_timestep(float sigma, std::span<const float> log_sigmas);
/// The same for a sigma that the reference has as a float32 tensor, so that all of it is float32.
float tensor_sigma_to_timestep(float sigma, std::span<const float> log_sigmas);
std::vector<double> sigmas_to_timesteps(const std::vector<double>& sigmas, std::span<const float> log_sigmas);

/// A tensor of the sigmas followed by `final_sigma`: float32 [n + 1] on the CPU.
at::Tensor sigma_tensor(const std::vector<double>& sigmas, double final_sigma);

/// Scheduler::init_noise_sigma of samples x0 + sigma * eps: the largest sigma, or sqrt(sigma^2 + 1) with "leading"
/// spacing.
double initial_noise_sigma(const at::Tensor& sigmas, TimestepSpacing spacing);

}  // namespace easel
