#include "schedulers/algorithms/dpmsolver.h"

#include <ATen/ops/exp.h>
#include <ATen/ops/log.h>
#include <ATen/ops/sqrt.h>

#include <algorithm>

#include "core/text.h"
#include "schedulers/numerics/tensor_math.h"

namespace easel {

AlphaSigma sigma_to_alpha_sigma(const at::Tensor& run_sigma, bool flow) {
  if (flow) return {.alpha = one_minus(run_sigma), .sigma = run_sigma};
  const auto alpha = one_over(square_root(square(run_sigma) + 1));
  return {.alpha = alpha, .sigma = run_sigma * alpha};
}

NoiseLevel noise_level(const at::Tensor& run_sigma, bool flow) {
  const auto [alpha, sigma] = sigma_to_alpha_sigma(run_sigma, flow);
  return {.alpha = alpha, .sigma = sigma, .lambda = at::log(alpha) - at::log(sigma), .run_sigma = run_sigma};
}

at::Tensor original_sample_at(const NoiseLevel& level, PredictionType prediction_type, const at::Tensor& model_output,
                              const at::Tensor& sample) {
  switch (prediction_type) {
    case PredictionType::kEpsilon:
      return (sample - level.sigma * model_output) / level.alpha;
    case PredictionType::kVPrediction:
      return level.alpha * sample - level.sigma * model_output;
    case PredictionType::kFlowPrediction:
      return sample - level.run_sigma * model_output;
    default:
      return model_output;
  }
}

at::Tensor noise_at(const NoiseLevel& level, PredictionType prediction_type, const at::Tensor& model_output,
                    const at::Tensor& sample) {
  switch (prediction_type) {
    case PredictionType::kSample:
      return (sample - level.alpha * model_output) / level.sigma;
    case PredictionType::kVPrediction:
      return level.alpha * model_output + level.sigma * sample;
    default:
      return model_output;
  }
}

bool reads_learned_variance(const SchedulerArguments& arguments, PredictionType prediction_type) {
  return prediction_type == PredictionType::kEpsilon &&
         (arguments.is("variance_type", "learned") || arguments.is("variance_type", "learned_range"));
}

at::Tensor without_learned_variance(const at::Tensor& model_output) {
  constexpr std::int64_t kImageChannels = 3;
  const bool has_channels = model_output.defined() && model_output.dim() > 1;
  return has_channels ? model_output.slice(1, 0, kImageChannels) : model_output;
}

DpmSolverSettings::DpmSolverSettings(SchedulerArguments& arguments, DpmSolverClass scheduler_class,
                                     std::int64_t max_order, bool default_lower_order_final)
    : schedule(arguments, scheduler_class),
      prediction_type(read_prediction_type(arguments, SupportedPredictions::kAll)),
      solver_order(arguments.integer("solver_order", 2)),
      lower_order_final(arguments.flag("lower_order_final", default_lower_order_final)),
      thresholding(arguments) {
  if (solver_order < 1 || solver_order > max_order) {
    throw arguments.unsupported("solver_order", concat("expected 1 to ", max_order));
  }
}

NoiseLevel DpmSolverSettings::level(const Run& run, std::size_t index) const {
  return noise_level(run.sigma(index), schedule.uses_flow_sigmas());
}

at::Tensor DpmSolverSettings::add_noise(const Run& run, const at::Tensor& original, const at::Tensor& noise,
                                        std::size_t step_index) const {
  run.check_index(step_index);
  const auto sigma = run.sigma(step_index).to(original.scalar_type());
  const auto mix = sigma_to_alpha_sigma(sigma, schedule.uses_flow_sigmas());
  return mix.alpha * original + mix.sigma * noise;
}

std::vector<at::Tensor> DpmSolverSettings::append(const std::vector<at::Tensor>& history,
                                                  const at::Tensor& newest) const {
  auto outputs = history;
  outputs.push_back(newest);
  if (outputs.size() > static_cast<std::size_t>(solver_order)) outputs.erase(outputs.begin());
  return outputs;
}

std::int64_t DpmSolverSettings::available_order(std::size_t steps_done) const {
  return std::min(solver_order, static_cast<std::int64_t>(steps_done) + 1);
}

DpmSolverType read_dpmsolver_type(SchedulerArguments& arguments) {
  return arguments.choice<DpmSolverType>("solver_type", "midpoint",
                                         {{"midpoint", DpmSolverType::kMidpoint},
                                          {"heun", DpmSolverType::kHeun},
                                          {"logrho", DpmSolverType::kMidpoint},
                                          {"bh1", DpmSolverType::kMidpoint},
                                          {"bh2", DpmSolverType::kMidpoint}});
}

bool uses_data_prediction(DpmSolverAlgorithm algorithm) {
  return algorithm == DpmSolverAlgorithm::kDpmSolverPlusPlus || algorithm == DpmSolverAlgorithm::kSdeDpmSolverPlusPlus;
}

bool is_stochastic(DpmSolverAlgorithm algorithm) {
  return algorithm == DpmSolverAlgorithm::kSdeDpmSolver || algorithm == DpmSolverAlgorithm::kSdeDpmSolverPlusPlus;
}

// Terms that the reference subtracts are added here with a negated coefficient, which rounds in the same way.
DpmSolverCoefficients dpmsolver_coefficients(DpmSolverAlgorithm algorithm, DpmSolverType solver_type,
                                             const NoiseLevel& from, const NoiseLevel& to, int order) {
  const bool midpoint = order == 2 && solver_type == DpmSolverType::kMidpoint;
  const auto h = to.lambda - from.lambda;
  DpmSolverCoefficients c;
  switch (algorithm) {
    case DpmSolverAlgorithm::kDpmSolverPlusPlus: {
      const auto phi = at::exp(-h) - 1;
      c.sample = to.sigma / from.sigma;
      c.d0 = -(to.alpha * phi);
      c.d1 = midpoint ? c.d0 * 0.5 : to.alpha * (phi / h + 1);
      c.d2 = -(to.alpha * ((phi + h) / square(h) - 0.5));
      break;
    }
    case DpmSolverAlgorithm::kDpmSolver: {
      const auto phi = at::exp(h) - 1;
      c.sample = to.alpha / from.alpha;
      c.d0 = -(to.sigma * phi);
      c.d1 = midpoint ? c.d0 * 0.5 : -(to.sigma * (phi / h - 1));
      c.d2 = -(to.sigma * ((phi - h) / square(h) - 0.5));
      break;
    }
    case DpmSolverAlgorithm::kSdeDpmSolverPlusPlus: {
      const auto phi = one_minus(at::exp(h * -2));
      c.sample = to.sigma / from.sigma * at::exp(-h);
      c.d0 = to.alpha * phi;
      c.d1 = midpoint ? c.d0 * 0.5 : to.alpha * (phi / (h * -2) + 1);
      c.d2 = to.alpha * ((phi - h * 2) / square(h * 2) - 0.5);
      c.noise = to.sigma * at::sqrt(phi);
      break;
    }
    case DpmSolverAlgorithm::kSdeDpmSolver: {
      const auto phi = at::exp(h) - 1;
      const auto first = -(to.sigma * phi);
      c.sample = to.alpha / from.alpha;
      c.d0 = first * 2;
      c.d1 = midpoint ? first : -(to.sigma * (phi / h - 1)) * 2;
      c.noise = to.sigma * at::sqrt(at::exp(h * 2) - 1);
      break;
    }
  }
  return c;
}

}  // namespace easel
