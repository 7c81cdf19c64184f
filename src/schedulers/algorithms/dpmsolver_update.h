// What DPM-Solver's family computes with: noise levels in log(alpha / sigma), predictions, exponential integrators.
//
// Lu et al. 2022, DPM-Solver (arXiv:2206.00927) and DPM-Solver++ (arXiv:2211.01095).
#pragma once

#include <ATen/core/Tensor.h>

#include "schedulers/schedule/prediction_type.h"
#include "schedulers/schedule/scheduler_arguments.h"

namespace easel {

/// How much of x0 and of the noise a sample holds: x = alpha * x0 + sigma * eps. 0-dim, of run_sigma's dtype.
struct AlphaSigma {
  at::Tensor alpha, sigma;
};
/// @param flow  alpha is 1 - sigma, as in flow matching
AlphaSigma sigma_to_alpha_sigma(const at::Tensor& run_sigma, bool flow);

/// One visited noise level: x = alpha * x0 + sigma * eps, and lambda = log(alpha / sigma). All 0-dim float32.
struct NoiseLevel {
  at::Tensor alpha, sigma, lambda;
  at::Tensor run_sigma;  ///< sigma as the run counts it: sigma / alpha, or the flow's own
};
NoiseLevel noise_level(const at::Tensor& run_sigma, bool flow);

/// x0 from what the model says, at a noise level.
at::Tensor original_sample_at(const NoiseLevel& level, PredictionType prediction_type, const at::Tensor& model_output,
                              const at::Tensor& sample);
/// The noise in `sample`. @param prediction_type  epsilon, sample or v_prediction
at::Tensor noise_at(const NoiseLevel& level, PredictionType prediction_type, const at::Tensor& model_output,
                    const at::Tensor& sample);

/// `variance_type` says that the model output holds variances behind the channels of an image.
/// They are read with prediction_type epsilon alone, as in the reference.
bool reads_learned_variance(const SchedulerArguments& arguments, PredictionType prediction_type);
/// The model output without them. An output too small to hold any is returned as it is.
at::Tensor without_learned_variance(const at::Tensor& model_output);

constexpr std::size_t kLowerOrderFinalSteps = 15;  ///< of a multistep solver: below it, lower_order_final takes effect

enum class DpmSolverAlgorithm { kDpmSolver, kDpmSolverPlusPlus, kSdeDpmSolver, kSdeDpmSolverPlusPlus };
enum class DpmSolverType { kMidpoint, kHeun };

/// `solver_type`; names of other classes are read as midpoint, as in the reference.
DpmSolverType read_dpmsolver_type(SchedulerArguments& arguments);

/// Integrates x0, not the noise.
bool uses_data_prediction(DpmSolverAlgorithm algorithm);
bool is_stochastic(DpmSolverAlgorithm algorithm);

/// x_next = sample * x + d0 * D0 + d1 * D1 + d2 * D2 + noise * z, where D0 is a model output, and D1 and D2 are divided
/// differences of several. All 0-dim; those that the order or the algorithm has no use for may be undefined.
struct DpmSolverCoefficients {
  at::Tensor sample, d0, d1, d2, noise;
};
/// @param order  1 to 3; solver_type matters to the second alone
DpmSolverCoefficients dpmsolver_coefficients(DpmSolverAlgorithm algorithm, DpmSolverType solver_type,
                                             const NoiseLevel& from, const NoiseLevel& to, int order);

}  // namespace easel
