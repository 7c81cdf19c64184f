#include "schedulers/dpmsolver_schedule.h"

#include <ATen/ops/log.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/sqrt.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/text.h"
#include "schedulers/numpy_math.h"
#include "schedulers/tensor_math.h"

namespace easel {
namespace {

// How many training timesteps have a lambda = log(alpha / sigma) of at least lambda_min; those are the first ones.
std::int64_t count_above(const NoiseSchedule& schedule, double lambda_min) {
  const auto lambda =
      at::log(at::sqrt(schedule.alphas_cumprod)) - at::log(at::sqrt(one_minus(schedule.alphas_cumprod)));
  const auto below = at::searchsorted(lambda.flip(0), at::Scalar(lambda_min));
  return schedule.num_train_timesteps - *below.const_data_ptr<std::int64_t>();
}

// DPM-Solver, section 3.4: even in log(sigma).
std::vector<double> lu_sigmas(std::span<const float> log_sigmas, std::int64_t num_inference_steps) {
  const double log_max = log_sigmas.back(), log_min = log_sigmas.front();
  auto sigmas = numpy::linspace(0, 1, num_inference_steps);
  for (auto& sigma : sigmas) sigma = std::exp(log_max + sigma * (log_min - log_max));
  return sigmas;
}

}  // namespace

DpmSolverSchedule::DpmSolverSchedule(SchedulerArguments& arguments)
    : timestep_spacing_(read_timestep_spacing(arguments, "linspace")),
      steps_offset_(read_steps_offset(arguments, timestep_spacing_)),
      lambda_min_clipped_(arguments.extended_number("lambda_min_clipped", -std::numeric_limits<double>::infinity())),
      use_flow_sigmas_(arguments.flag("use_flow_sigmas", false)),
      placement_(read_placement(arguments, use_flow_sigmas_)),
      round_timesteps_((placement_ == Placement::kKarras || placement_ == Placement::kLuLambdas) &&
                       !arguments.is("beta_schedule", "squaredcos_cap_v2")),
      final_sigma_(read_final_sigma(arguments)) {
  // Not among the class's arguments, but the reference looks for them in the config, where the class that wrote it may
  // have left them.
  if (placement_ == Placement::kKarras || placement_ == Placement::kExponential) {
    sigma_range_ = read_sigma_range(arguments);
  }
  if (placement_ == Placement::kFlow) flow_shift_ = arguments.number("flow_shift", 1.0);
}

DpmSolverSchedule::Placement DpmSolverSchedule::read_placement(SchedulerArguments& arguments, bool use_flow_sigmas) {
  const auto sigma_spacing = read_sigma_spacing(arguments);
  // In the reference's order, where several are true.
  if (sigma_spacing == SigmaSpacing::kKarras) return Placement::kKarras;
  if (arguments.flag("use_lu_lambdas", false)) return Placement::kLuLambdas;
  if (sigma_spacing == SigmaSpacing::kExponential) return Placement::kExponential;
  return use_flow_sigmas ? Placement::kFlow : Placement::kTraining;
}

DpmSolverSchedule::Run DpmSolverSchedule::run(const NoiseSchedule& schedule, std::int64_t num_inference_steps) const {
  const auto training_sigmas = schedule.sigmas();
  std::vector<double> timesteps, sigmas;
  if (placement_ == Placement::kTraining) {
    timesteps = spaced(schedule, num_inference_steps);
    for (const double timestep : timesteps) sigmas.push_back(numpy::interp(timestep, training_sigmas));
  } else if (placement_ == Placement::kFlow) {
    sigmas = flow_sigmas(schedule.num_train_timesteps, num_inference_steps);
    for (const double sigma : sigmas) timesteps.push_back(sigma * static_cast<double>(schedule.num_train_timesteps));
  } else {
    const auto log_sigmas = log_of(training_sigmas);
    sigmas = placed_sigmas(training_sigmas, log_sigmas, num_inference_steps);
    timesteps = sigmas_to_timesteps(sigmas, log_sigmas);
  }
  Run run;
  for (const double t : timesteps) {
    run.timesteps.push_back(static_cast<float>(round_timesteps_ ? numpy::round(t) : std::trunc(t)));
  }
  run.sigmas = sigma_tensor(sigmas, final_sigma_ == FinalSigma::kZero ? 0.0 : training_sigmas.front());
  return run;
}

// Like spaced_timesteps, but one step more is spaced and the last one, nearest to the picture, left out.
std::vector<double> DpmSolverSchedule::spaced(const NoiseSchedule& schedule, std::int64_t num_inference_steps) const {
  const auto num_timesteps = count_above(schedule, lambda_min_clipped_);
  if (num_timesteps < 1) {
    throw Error(ErrorCode::kUnsupported, concat("scheduler_config.json: `lambda_min_clipped` is ", lambda_min_clipped_,
                                                ", which leaves no timestep"));
  }
  std::vector<double> timesteps;
  switch (timestep_spacing_) {
    case TimestepSpacing::kLinspace:
      timesteps = numpy::linspace(0, static_cast<double>(num_timesteps - 1), num_inference_steps + 1);
      for (auto& timestep : timesteps) timestep = numpy::round(timestep);
      std::reverse(timesteps.begin(), timesteps.end());
      timesteps.pop_back();
      break;
    case TimestepSpacing::kLeading: {
      const auto step_ratio = num_timesteps / (num_inference_steps + 1);
      for (auto i = num_inference_steps; i > 0; --i)
        timesteps.push_back(static_cast<double>(i * step_ratio + steps_offset_));
      break;
    }
    case TimestepSpacing::kTrailing: {
      const auto step_ratio =
          static_cast<double>(schedule.num_train_timesteps) / static_cast<double>(num_inference_steps);
      timesteps = numpy::arange(static_cast<double>(num_timesteps), 0, -step_ratio);
      for (auto& timestep : timesteps) timestep = numpy::round(timestep) - 1;
      break;
    }
  }
  return timesteps;
}

std::vector<double> DpmSolverSchedule::placed_sigmas(std::span<const float> training_sigmas,
                                                     std::span<const float> log_sigmas,
                                                     std::int64_t num_inference_steps) const {
  if (placement_ == Placement::kLuLambdas) return lu_sigmas(log_sigmas, num_inference_steps);
  return respaced_sigmas(placement_ == Placement::kKarras ? SigmaSpacing::kKarras : SigmaSpacing::kExponential,
                         sigma_range_.sigma_max.value_or(training_sigmas.back()),
                         sigma_range_.sigma_min.value_or(training_sigmas.front()), num_inference_steps);
}

// From near 1 down to, but without, 0.
std::vector<double> DpmSolverSchedule::flow_sigmas(std::int64_t num_train_timesteps,
                                                   std::int64_t num_inference_steps) const {
  auto sigmas = numpy::linspace(1, 1 / static_cast<double>(num_train_timesteps), num_inference_steps + 1);
  for (auto& sigma : sigmas) {
    sigma = 1.0 - sigma;
    sigma = flow_shift_ * sigma / (1 + (flow_shift_ - 1) * sigma);
  }
  std::reverse(sigmas.begin(), sigmas.end());
  sigmas.pop_back();
  return sigmas;
}

}  // namespace easel
