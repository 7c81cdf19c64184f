// What the DPM-Solver family shares: its settings, noise levels in log(alpha / sigma), predictions, exponential
// integrators.
//
// Lu et al. 2022, DPM-Solver (arXiv:2206.00927) and DPM-Solver++ (arXiv:2211.01095).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "schedulers/schedule/clipping.h"
#include "schedulers/schedule/dpmsolver_schedule.h"
#include "schedulers/schedule/run.h"
#include "schedulers/schedule/sample_space.h"
#include "schedulers/schedule/scheduler_arguments.h"

namespace easel {

/// The shares of x0 and of noise in a sample: x = alpha * x0 + sigma * eps. 0-dim, of run_sigma's dtype.
struct AlphaSigma {
  at::Tensor alpha, sigma;
};
/// @param flow  alpha is 1 - sigma, as in flow matching
AlphaSigma sigma_to_alpha_sigma(const at::Tensor& run_sigma, bool flow);

/// One visited noise level: x = alpha * x0 + sigma * eps, and lambda = log(alpha / sigma). All 0-dim float32.
struct NoiseLevel {
  at::Tensor alpha, sigma, lambda;
  at::Tensor run_sigma;  ///< as in Run::sigmas: sigma / alpha, or sigma itself for flow matching
};
NoiseLevel noise_level(const at::Tensor& run_sigma, bool flow);

/// The model's output as x0.
at::Tensor original_sample_at(const NoiseLevel& level, PredictionType prediction_type, const at::Tensor& model_output,
                              const at::Tensor& sample);
/// The model's output as the noise in `sample`. @param prediction_type  epsilon, sample or v_prediction
at::Tensor noise_at(const NoiseLevel& level, PredictionType prediction_type, const at::Tensor& model_output,
                    const at::Tensor& sample);

/// True when `variance_type` says that the model's output has variances after the channels of an image. As in the
/// reference, this applies only to prediction_type epsilon.
bool reads_learned_variance(const SchedulerArguments& arguments, PredictionType prediction_type);
/// The model's output without the variances. An output too small to hold any is returned as it is.
at::Tensor without_learned_variance(const at::Tensor& model_output);

/// The settings that the four classes read in the same way. Immutable after construction.
struct DpmSolverSettings {
  /// @param default_lower_order_final  the value of lower_order_final when the config does not have it
  /// @throws Error(kUnsupported, kCorruptData)  names the field
  DpmSolverSettings(SchedulerArguments& arguments, DpmSolverClass scheduler_class, std::int64_t max_order = 3,
                    bool default_lower_order_final = true);

  NoiseLevel level(const Run& run, std::size_t index) const;
  /// @throws Error(kInvalidArgument)  step_index is past the end of the run
  at::Tensor add_noise(const Run& run, const at::Tensor& original, const at::Tensor& noise,
                       std::size_t step_index) const;
  at::Tensor thresholded(const at::Tensor& original_sample) const {
    return thresholding.enabled() ? thresholding(original_sample) : original_sample;
  }
  /// A history of model outputs, the newest last, with one more; the oldest is dropped above solver_order.
  std::vector<at::Tensor> append(const std::vector<at::Tensor>& history, const at::Tensor& newest) const;
  /// solver_order, or less while the history is shorter. @param steps_done  length of the history
  std::int64_t available_order(std::size_t steps_done) const;

  DpmSolverSchedule schedule;
  PredictionType prediction_type;
  std::int64_t solver_order;
  bool lower_order_final;
  DynamicThresholding thresholding;
};

/// lower_order_final of the multistep solvers takes effect in runs with fewer steps than this.
constexpr std::size_t kLowerOrderFinalSteps = 15;

enum class DpmSolverAlgorithm { kDpmSolver, kDpmSolverPlusPlus, kSdeDpmSolver, kSdeDpmSolverPlusPlus };
enum class DpmSolverType { kMidpoint, kHeun };

/// `solver_type`; the names that other classes use mean midpoint, as in the reference.
DpmSolverType read_dpmsolver_type(SchedulerArguments& arguments);

/// True for algorithms that integrate x0 rather than the noise.
bool uses_data_prediction(DpmSolverAlgorithm algorithm);
bool is_stochastic(DpmSolverAlgorithm algorithm);

/// x_next = sample * x + d0 * D0 + d1 * D1 + d2 * D2 + noise * z, where D0 is a model output, and D1 and D2 are divided
/// differences of several. All 0-dim; a coefficient that the order or the algorithm does not use may be undefined.
struct DpmSolverCoefficients {
  at::Tensor sample, d0, d1, d2, noise;
};
/// @param order  1 to 3; solver_type makes a difference only for the second
DpmSolverCoefficients dpmsolver_coefficients(DpmSolverAlgorithm algorithm, DpmSolverType solver_type,
                                             const NoiseLevel& from, const NoiseLevel& to, int order);

}  // namespace easel
