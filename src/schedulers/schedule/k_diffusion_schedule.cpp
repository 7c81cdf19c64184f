#include "schedulers/schedule/k_diffusion_schedule.h"

#include "schedulers/numerics/numpy_math.h"

namespace easel {
namespace {

// sigma_min and sigma_max are no arguments of these classes, but the reference looks for them in the config, where the
// class that wrote it may have left them.
SigmaRange read_range(SchedulerArguments& arguments, SigmaSpacing spacing, const KDiffusionTraits& traits) {
  if (spacing == SigmaSpacing::kTraining) return {};
  if (spacing == SigmaSpacing::kKarras && !traits.karras_takes_sigma_range) return {};
  return read_sigma_range(arguments);
}

}  // namespace

KDiffusionSchedule::KDiffusionSchedule(SchedulerArguments& arguments, const KDiffusionTraits& traits)
    : traits_(traits),
      sigma_spacing_(read_sigma_spacing(arguments)),
      sigma_range_(read_range(arguments, sigma_spacing_, traits)),
      timestep_spacing_(read_timestep_spacing(arguments, "linspace")),
      steps_offset_(read_steps_offset(arguments, timestep_spacing_)) {}

KDiffusionSchedule::Run KDiffusionSchedule::run(const NoiseSchedule& schedule, std::int64_t num_inference_steps) const {
  auto run = at_timesteps(
      schedule, spaced_timesteps(timestep_spacing_, num_inference_steps, schedule.num_train_timesteps, steps_offset_));
  if (sigma_spacing_ == SigmaSpacing::kTraining) return run;
  run.sigmas = respaced_sigmas(sigma_spacing_, sigma_range_.sigma_max.value_or(run.sigmas.front()),
                               sigma_range_.sigma_min.value_or(run.sigmas.back()), num_inference_steps);
  run.timesteps = sigmas_to_timesteps(run.sigmas, log_of(schedule.sigmas()));
  if (traits_.rounds_karras_timesteps && sigma_spacing_ == SigmaSpacing::kKarras) {
    for (auto& timestep : run.timesteps) timestep = numpy::round(timestep);
  }
  return run;
}

KDiffusionSchedule::Run KDiffusionSchedule::run_at(const NoiseSchedule& schedule,
                                                   const std::vector<double>& timesteps) const {
  require_training_sigmas(sigma_spacing_);
  return at_timesteps(schedule, timesteps);
}

KDiffusionSchedule::Run KDiffusionSchedule::at_timesteps(const NoiseSchedule& schedule,
                                                         std::vector<double> timesteps) const {
  const auto training_sigmas = schedule.sigmas();
  Run run{.timesteps = std::move(timesteps), .sigmas = {}};
  for (auto& timestep : run.timesteps) {
    if (traits_.float32_timesteps) timestep = static_cast<float>(timestep);
    run.sigmas.push_back(numpy::interp(timestep, training_sigmas));
  }
  return run;
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
