#include "schedulers/schedule/k_diffusion_schedule.h"

#include "schedulers/numerics/numpy_math.h"

namespace easel {
namespace {

// sigma_min and sigma_max are not arguments of these classes, but the reference looks for them in the config, where the
// class that wrote it may have left them. LMS and DPM-Solver SDE ignore them for Karras sigmas.
SigmaRange read_range(SchedulerArguments& arguments, SigmaSpacing spacing, KDiffusionClass scheduler_class) {
  const bool ignores_range_of_karras =
      scheduler_class == KDiffusionClass::kLms || scheduler_class == KDiffusionClass::kDpmSolverSde;
  if (spacing == SigmaSpacing::kTraining) return {};
  if (spacing == SigmaSpacing::kKarras && ignores_range_of_karras) return {};
  return read_sigma_range(arguments);
}

}  // namespace

KDiffusionSchedule::KDiffusionSchedule(SchedulerArguments& arguments, KDiffusionClass scheduler_class,
                                       const NoiseScheduleDefaults& defaults)
    : class_(scheduler_class),
      schedule_(read_noise_schedule(arguments, ZeroTerminalSnr::kIgnored, defaults)),
      sigma_spacing_(read_sigma_spacing(arguments)),
      sigma_range_(read_range(arguments, sigma_spacing_, scheduler_class)),
      timestep_spacing_(read_timestep_spacing(arguments, "linspace")),
      steps_offset_(read_steps_offset(arguments, timestep_spacing_)) {}

KDiffusionSchedule::Levels KDiffusionSchedule::levels(std::int64_t num_inference_steps) const {
  check_num_inference_steps(num_inference_steps, schedule_);
  auto levels = at_timesteps(
      spaced_timesteps(timestep_spacing_, num_inference_steps, schedule_.num_train_timesteps, steps_offset_));
  if (sigma_spacing_ == SigmaSpacing::kTraining) return levels;
  levels.sigmas = respaced_sigmas(sigma_spacing_, sigma_range_.sigma_max.value_or(levels.sigmas.front()),
                                  sigma_range_.sigma_min.value_or(levels.sigmas.back()), num_inference_steps);
  levels.timesteps = sigmas_to_timesteps(levels.sigmas, log_sigmas());
  if (class_ == KDiffusionClass::kDpm2 && sigma_spacing_ == SigmaSpacing::kKarras) {
    for (auto& timestep : levels.timesteps) timestep = numpy::round(timestep);
  }
  return levels;
}

KDiffusionSchedule::Levels KDiffusionSchedule::levels_at(const std::vector<double>& timesteps) const {
  check_custom_timesteps(timesteps, schedule_);
  require_training_sigmas(sigma_spacing_);
  return at_timesteps(timesteps);
}

KDiffusionSchedule::Levels KDiffusionSchedule::at_timesteps(std::vector<double> timesteps) const {
  const auto training_sigmas = schedule_.sigmas();
  Levels levels{.timesteps = std::move(timesteps), .sigmas = {}};
  for (auto& timestep : levels.timesteps) {
    // Only DPM-Solver SDE looks sigmas up at float64 timesteps.
    if (class_ != KDiffusionClass::kDpmSolverSde) timestep = static_cast<float>(timestep);
    levels.sigmas.push_back(numpy::interp(timestep, training_sigmas));
  }
  return levels;
}

std::vector<float> with_midpoints(const std::vector<double>& timesteps, const at::Tensor& midpoints,
                                  std::span<const float> log_sigmas) {
  const auto* sigmas = midpoints.const_data_ptr<float>();
  std::vector<float> visited{static_cast<float>(timesteps[0])};
  for (std::size_t i = 1; i < timesteps.size(); ++i) {
    visited.push_back(tensor_sigma_to_timestep(sigmas[i - 1], log_sigmas));
    visited.push_back(static_cast<float>(timesteps[i]));
  }
  return visited;
}

std::vector<float> repeat_interleaved(const std::vector<double>& timesteps) {
  std::vector<float> visited;
  for (const double timestep : timesteps) {
    if (!visited.empty()) visited.push_back(static_cast<float>(timestep));
    visited.push_back(static_cast<float>(timestep));
  }
  return visited;
}

}  // namespace easel
