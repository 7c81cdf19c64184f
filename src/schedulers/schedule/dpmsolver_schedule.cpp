#include "schedulers/schedule/dpmsolver_schedule.h"

#include <ATen/ops/log.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/sqrt.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/text.h"
#include "schedulers/numerics/numpy_math.h"
#include "schedulers/numerics/tensor_math.h"

namespace easel {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

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

DpmSolverSchedule::DpmSolverSchedule(SchedulerArguments& arguments, const DpmSolverTraits& traits)
    : traits_(traits),
      timestep_spacing_(traits.spaces_timesteps ? read_timestep_spacing(arguments, "linspace")
                                                : TimestepSpacing::kLinspace),
      steps_offset_(read_steps_offset(arguments, timestep_spacing_)),
      lambda_min_clipped_(traits.clips_lambda ? arguments.extended_number("lambda_min_clipped", -kInfinity)
                                              : -kInfinity),
      use_flow_sigmas_(arguments.flag("use_flow_sigmas", false)),
      sigma_rule_(read_sigma_rule(arguments, traits, use_flow_sigmas_)),
      round_timesteps_((sigma_rule_ == SigmaRule::kKarras || sigma_rule_ == SigmaRule::kLuLambdas) &&
                       (traits.rounds_cosine_timesteps || !arguments.is("beta_schedule", "squaredcos_cap_v2"))),
      final_sigma_(traits.has_final_sigmas_type ? read_final_sigma(arguments) : FinalSigma::kSigmaMin) {
  // Most of the classes have no such arguments, but the reference looks for them in the config, where the class that
  // wrote it may have left them.
  if (sigma_rule_ == SigmaRule::kKarras || sigma_rule_ == SigmaRule::kExponential || sigma_rule_ == SigmaRule::kBeta) {
    sigma_range_ = read_sigma_range(arguments);
  }
  if (sigma_rule_ == SigmaRule::kFlow) flow_shift_ = arguments.number("flow_shift", 1.0);
}

DpmSolverSchedule::SigmaRule DpmSolverSchedule::read_sigma_rule(SchedulerArguments& arguments,
                                                                const DpmSolverTraits& traits, bool use_flow_sigmas) {
  const auto sigma_spacing = read_sigma_spacing(arguments);
  // In the reference's order, where several are true.
  if (sigma_spacing == SigmaSpacing::kKarras) return SigmaRule::kKarras;
  if (traits.has_lu_lambdas && arguments.flag("use_lu_lambdas", false)) return SigmaRule::kLuLambdas;
  if (sigma_spacing == SigmaSpacing::kExponential) return SigmaRule::kExponential;
  if (sigma_spacing == SigmaSpacing::kBeta) return SigmaRule::kBeta;
  return use_flow_sigmas ? SigmaRule::kFlow : SigmaRule::kTraining;
}

DpmSolverSchedule::Run DpmSolverSchedule::run(const NoiseSchedule& schedule, std::int64_t num_inference_steps) const {
  const auto training_sigmas = schedule.sigmas();
  if (sigma_rule_ == SigmaRule::kTraining) return at_timesteps(spaced(schedule, num_inference_steps), training_sigmas);
  if (sigma_rule_ == SigmaRule::kFlow) {
    return at_flow_sigmas(schedule, flow_sigmas(schedule.num_train_timesteps, num_inference_steps));
  }
  const auto log_sigmas = log_of(training_sigmas);
  auto sigmas = respaced_run_sigmas(training_sigmas, log_sigmas, num_inference_steps);
  std::vector<double> timesteps;
  if (sigma_rule_ == SigmaRule::kKarras && use_flow_sigmas_ && traits_.unipc_flow) {
    for (auto& sigma : sigmas) {
      sigma = sigma / (sigma + 1);
      timesteps.push_back(std::trunc(sigma * static_cast<double>(schedule.num_train_timesteps)));
    }
  } else {
    timesteps = sigmas_to_timesteps(sigmas, log_sigmas);
  }
  return finish(timesteps, sigmas, traits_.ends_at_own_sigma ? sigmas.back() : training_sigmas.front());
}

DpmSolverSchedule::Run DpmSolverSchedule::run_at(const NoiseSchedule& schedule,
                                                 const std::vector<double>& timesteps) const {
  if (sigma_rule_ != SigmaRule::kTraining) {
    throw Error(ErrorCode::kUnsupported, "custom timesteps go with the sigmas of training alone", "timesteps");
  }
  std::vector<double> whole;
  for (const double timestep : timesteps) whole.push_back(std::trunc(timestep));
  return at_timesteps(whole, schedule.sigmas());
}

DpmSolverSchedule::Run DpmSolverSchedule::run_at_sigmas(const NoiseSchedule& schedule,
                                                        const std::vector<double>& sigmas) const {
  if (sigma_rule_ != SigmaRule::kFlow) {
    throw Error(ErrorCode::kUnsupported, "custom sigmas need `use_flow_sigmas`, and no other rule to place them",
                "sigmas");
  }
  return at_flow_sigmas(schedule, shifted(sigmas));
}

DpmSolverSchedule::Run DpmSolverSchedule::at_timesteps(const std::vector<double>& timesteps,
                                                       std::span<const float> training_sigmas) const {
  std::vector<double> sigmas;
  for (const double timestep : timesteps) sigmas.push_back(numpy::interp(timestep, training_sigmas));
  return finish(timesteps, sigmas, training_sigmas.front());
}

DpmSolverSchedule::Run DpmSolverSchedule::at_flow_sigmas(const NoiseSchedule& schedule,
                                                         const std::vector<double>& sigmas) const {
  std::vector<double> timesteps;
  for (const double sigma : sigmas) timesteps.push_back(sigma * static_cast<double>(schedule.num_train_timesteps));
  return finish(timesteps, sigmas, traits_.ends_at_own_sigma ? sigmas.back() : schedule.sigmas().front());
}

DpmSolverSchedule::Run DpmSolverSchedule::finish(const std::vector<double>& timesteps,
                                                 const std::vector<double>& sigmas, double sigma_min) const {
  Run run;
  for (const double t : timesteps) {
    run.timesteps.push_back(static_cast<float>(round_timesteps_ ? numpy::round(t) : std::trunc(t)));
  }
  run.sigmas = sigma_tensor(sigmas, final_sigma_ == FinalSigma::kZero ? 0.0 : sigma_min);
  return run;
}

// Like spaced_timesteps, but one step more is spaced and the last one, nearest to the image, left out.
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

std::vector<double> DpmSolverSchedule::respaced_run_sigmas(std::span<const float> training_sigmas,
                                                           std::span<const float> log_sigmas,
                                                           std::int64_t num_inference_steps) const {
  if (sigma_rule_ == SigmaRule::kLuLambdas) return lu_sigmas(log_sigmas, num_inference_steps);
  const auto spacing = sigma_rule_ == SigmaRule::kKarras        ? SigmaSpacing::kKarras
                       : sigma_rule_ == SigmaRule::kExponential ? SigmaSpacing::kExponential
                                                                : SigmaSpacing::kBeta;
  return respaced_sigmas(spacing, sigma_range_.sigma_max.value_or(training_sigmas.back()),
                         sigma_range_.sigma_min.value_or(training_sigmas.front()), num_inference_steps);
}

// From near 1 down to, but without, 0.
std::vector<double> DpmSolverSchedule::flow_sigmas(std::int64_t num_train_timesteps,
                                                   std::int64_t num_inference_steps) const {
  auto sigmas = numpy::linspace(1, 1 / static_cast<double>(num_train_timesteps), num_inference_steps + 1);
  if (!traits_.unipc_flow) {
    for (auto& sigma : sigmas) sigma = 1.0 - sigma;
    std::reverse(sigmas.begin(), sigmas.end());
  }
  sigmas.pop_back();
  return shifted(std::move(sigmas));
}

std::vector<double> DpmSolverSchedule::shifted(std::vector<double> sigmas) const {
  for (auto& sigma : sigmas) sigma = flow_shift_ * sigma / (1 + (flow_shift_ - 1) * sigma);
  constexpr double kTooNear = 1e-6;  // to sigma 1, where alpha is 0
  if (traits_.unipc_flow && std::fabs(sigmas.front() - 1) < kTooNear) sigmas.front() -= kTooNear;
  return sigmas;
}

}  // namespace easel
