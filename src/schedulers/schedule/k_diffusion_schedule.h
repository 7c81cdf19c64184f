// Which timesteps and sigmas the schedulers that follow Crowson's k-diffusion visit: Heun, LMS, DPM2, DPM-Solver SDE.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "schedulers/schedule/noise_schedule.h"
#include "schedulers/schedule/scheduler_arguments.h"
#include "schedulers/schedule/sigma_schedule.h"

namespace easel {

/// The reference's class whose rules apply; DPM2 and DPM2 ancestral have the same.
enum class KDiffusionClass { kHeun, kLms, kDpm2, kDpmSolverSde };

/// Reads the noise schedule, timestep_spacing, steps_offset, use_..._sigmas, and sigma_min and sigma_max where the
/// class reads them.
class KDiffusionSchedule {
 public:
  /// @throws Error(kUnsupported, kCorruptData)  names the field
  KDiffusionSchedule(SchedulerArguments& arguments, KDiffusionClass scheduler_class,
                     const NoiseScheduleDefaults& defaults);

  /// The noise levels that a run visits, falling; the end at sigma 0 is not among them.
  struct Levels {
    std::vector<double> timesteps;  ///< [n], on the training axis
    std::vector<double> sigmas;     ///< [n]
  };
  /// @throws Error(kInvalidArgument)  as check_num_inference_steps
  Levels levels(std::int64_t num_inference_steps) const;

  /// At custom timesteps. @throws Error(kInvalidArgument)  as check_custom_timesteps
  /// @throws Error(kUnsupported)  the sigmas do not follow the timesteps
  Levels levels_at(const std::vector<double>& timesteps) const;

  TimestepSpacing timestep_spacing() const { return timestep_spacing_; }
  /// Logarithms of the training sigmas, rising.
  std::vector<float> log_sigmas() const { return log_of(schedule_.sigmas()); }

 private:
  Levels at_timesteps(std::vector<double> timesteps) const;

  KDiffusionClass class_;
  NoiseSchedule schedule_;
  SigmaSpacing sigma_spacing_;
  SigmaRange sigma_range_;
  TimestepSpacing timestep_spacing_;
  std::int64_t steps_offset_;
};

/// The model's timesteps in a run that visits another noise level between each two.
/// @param midpoints   [n - 1] float32 sigmas; [k] is visited after timesteps[k]
/// @param log_sigmas  of training, rising
/// @return            [2n - 1]
std::vector<float> with_midpoints(const std::vector<double>& timesteps, const at::Tensor& midpoints,
                                  std::span<const float> log_sigmas);

/// The model's timesteps in a run that visits every noise level but the first twice: [2n - 1].
std::vector<float> repeat_interleaved(const std::vector<double>& timesteps);

/// The noise level, counted in inference steps, of the sample at a step of a second-order run; between the two
/// evaluations of an inference step, the level at its end.
inline std::size_t second_order_level(std::size_t step_index) {
  return (step_index + 1) / 2;
}

}  // namespace easel
