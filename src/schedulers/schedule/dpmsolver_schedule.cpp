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

bool reads_zero_terminal_snr(DpmSolverClass scheduler_class) {
  return scheduler_class == DpmSolverClass::kMultistep || scheduler_class == DpmSolverClass::kUniPC;
}

bool reads_lambda_min(DpmSolverClass scheduler_class) {
  return scheduler_class == DpmSolverClass::kMultistep || scheduler_class == DpmSolverClass::kSinglestep ||
         scheduler_class == DpmSolverClass::kSaSolver;
}

}  // namespace

DpmSolverSchedule::DpmSolverSchedule(SchedulerArguments& arguments, DpmSolverClass scheduler_class)
    : class_(scheduler_class),
      schedule_(read_noise_schedule(arguments, reads_zero_terminal_snr(scheduler_class) ? ZeroTerminalSnr::kNearlyZero
                                                                                        : ZeroTerminalSnr::kIgnored)),
      timestep_spacing_(scheduler_class == DpmSolverClass::kSinglestep ? TimestepSpacing::kLinspace
                                                                       : read_timestep_spacing(arguments, "linspace")),
      steps_offset_(read_steps_offset(arguments, timestep_spacing_)),
      lambda_min_clipped_(
          reads_lambda_min(scheduler_class) ? arguments.extended_number("lambda_min_clipped", -kInfinity) : -kInfinity),
      use_flow_sigmas_(arguments.flag("use_flow_sigmas", false)),
      sigma_rule_(read_sigma_rule(arguments, scheduler_class, use_flow_sigmas_)),
      // DPM-Solver multistep truncates them with the cosine schedule.
      round_timesteps_(
          (sigma_rule_ == SigmaRule::kKarras || sigma_rule_ == SigmaRule::kLuLambdas) &&
          (scheduler_class != DpmSolverClass::kMultistep || !arguments.is("beta_schedule", "squaredcos_cap_v2"))),
      final_sigma_(read_end(arguments, scheduler_class)) {
  // Most of the classes do not have these arguments, but the reference looks for them in the config, where the class
  // that wrote it may have left them.
  if (sigma_rule_ == SigmaRule::kKarras || sigma_rule_ == SigmaRule::kExponential || sigma_rule_ == SigmaRule::kBeta) {
    sigma_range_ = read_sigma_range(arguments);
  }
  if (sigma_rule_ == SigmaRule::kFlow) flow_shift_ = arguments.number("flow_shift", 1.0);
}

FinalSigma DpmSolverSchedule::read_end(SchedulerArguments& arguments, DpmSolverClass scheduler_class) {
  const bool is_fixed = scheduler_class == DpmSolverClass::kDeis || scheduler_class == DpmSolverClass::kSaSolver;
  return is_fixed ? FinalSigma::kSigmaMin : read_final_sigma(arguments);
}

DpmSolverSchedule::SigmaRule DpmSolverSchedule::read_sigma_rule(SchedulerArguments& arguments,
                                                                DpmSolverClass scheduler_class, bool use_flow_sigmas) {
  const auto sigma_spacing = read_sigma_spacing(arguments);
  // Several can be true; this is the reference's order.
  if (sigma_spacing == SigmaSpacing::kKarras) return SigmaRule::kKarras;
  if (scheduler_class == DpmSolverClass::kMultistep && arguments.flag("use_lu_lambdas", false)) {
    return SigmaRule::kLuLambdas;
  }
  if (sigma_spacing == SigmaSpacing::kExponential) return SigmaRule::kExponential;
  if (sigma_spacing == SigmaSpacing::kBeta) return SigmaRule::kBeta;
  return use_flow_sigmas ? SigmaRule::kFlow : SigmaRule::kTraining;
}

Run DpmSolverSchedule::run(std::int64_t num_inference_steps) const {
  check_num_inference_steps(num_inference_steps, schedule_);
  const auto training_sigmas = schedule_.sigmas();
  if (sigma_rule_ == SigmaRule::kTraining) return at_timesteps(spaced(num_inference_steps), training_sigmas);
  if (sigma_rule_ == SigmaRule::kFlow) return at_flow_sigmas(flow_sigmas(num_inference_steps));
  const auto log_sigmas = log_of(training_sigmas);
  auto sigmas = respaced_run_sigmas(training_sigmas, log_sigmas, num_inference_steps);
  std::vector<double> timesteps;
  if (sigma_rule_ == SigmaRule::kKarras && use_flow_sigmas_ && class_ == DpmSolverClass::kUniPC) {
    for (auto& sigma : sigmas) {
      sigma = sigma / (sigma + 1);
      timesteps.push_back(std::trunc(sigma * static_cast<double>(schedule_.num_train_timesteps)));
    }
  } else {
    timesteps = sigmas_to_timesteps(sigmas, log_sigmas);
  }
  return make_run(timesteps, sigmas, ends_at_own_sigma() ? sigmas.back() : training_sigmas.front());
}

Run DpmSolverSchedule::run_at(const std::vector<double>& timesteps) const {
  check_custom_timesteps(timesteps, schedule_);
  if (sigma_rule_ != SigmaRule::kTraining) {
    throw Error(ErrorCode::kUnsupported, "custom timesteps can only be combined with the sigmas of training",
                "timesteps");
  }
  std::vector<double> whole;
  for (const double timestep : timesteps) whole.push_back(std::trunc(timestep));
  return at_timesteps(whole, schedule_.sigmas());
}

Run DpmSolverSchedule::run_at_sigmas(const std::vector<double>& sigmas) const {
  check_custom_sigmas(sigmas);
  if (sigma_rule_ != SigmaRule::kFlow) {
    throw Error(ErrorCode::kUnsupported, "custom sigmas need `use_flow_sigmas` and no other rule for placing them",
                "sigmas");
  }
  return at_flow_sigmas(shifted(sigmas));
}

Run DpmSolverSchedule::at_timesteps(const std::vector<double>& timesteps,
                                    std::span<const float> training_sigmas) const {
  std::vector<double> sigmas;
  for (const double timestep : timesteps) sigmas.push_back(numpy::interp(timestep, training_sigmas));
  return make_run(timesteps, sigmas, training_sigmas.front());
}

Run DpmSolverSchedule::at_flow_sigmas(const std::vector<double>& sigmas) const {
  std::vector<double> timesteps;
  for (const double sigma : sigmas) timesteps.push_back(sigma * static_cast<double>(schedule_.num_train_timesteps));
  return make_run(timesteps, sigmas, ends_at_own_sigma() ? sigmas.back() : schedule_.sigmas().front());
}

Run DpmSolverSchedule::make_run(const std::vector<double>& timesteps, const std::vector<double>& sigmas,
                                double sigma_min) const {
  std::vector<float> whole;
  for (const double t : timesteps) {
    whole.push_back(static_cast<float>(round_timesteps_ ? numpy::round(t) : std::trunc(t)));
  }
  return Run(std::move(whole), sigma_tensor(sigmas, final_sigma_ == FinalSigma::kZero ? 0.0 : sigma_min));
}

// Like spaced_timesteps, but for one step more, of which the last one, with the least noise, is left out.
std::vector<double> DpmSolverSchedule::spaced(std::int64_t num_inference_steps) const {
  const auto num_timesteps = count_above(schedule_, lambda_min_clipped_);
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
          static_cast<double>(schedule_.num_train_timesteps) / static_cast<double>(num_inference_steps);
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

// From about 1 down to, but not including, 0.
std::vector<double> DpmSolverSchedule::flow_sigmas(std::int64_t num_inference_steps) const {
  auto sigmas = numpy::linspace(1, 1 / static_cast<double>(schedule_.num_train_timesteps), num_inference_steps + 1);
  if (class_ != DpmSolverClass::kUniPC) {
    for (auto& sigma : sigmas) sigma = 1.0 - sigma;
    std::reverse(sigmas.begin(), sigmas.end());
  }
  sigmas.pop_back();
  return shifted(std::move(sigmas));
}

std::vector<double> DpmSolverSchedule::shifted(std::vector<double> sigmas) const {
  for (auto& sigma : sigmas) sigma = flow_shift_ * sigma / (1 + (flow_shift_ - 1) * sigma);
  constexpr double kTooNear = 1e-6;  // UniPC keeps this distance from sigma 1, where alpha is 0
  if (class_ == DpmSolverClass::kUniPC && std::fabs(sigmas.front() - 1) < kTooNear) sigmas.front() -= kTooNear;
  return sigmas;
}

}  // namespace easel
