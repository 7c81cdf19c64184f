// Which timesteps and sigmas the schedulers after k-diffusion visit: Heun, LMS, DPM2, DPM-Solver SDE.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "schedulers/schedule/noise_schedule.h"
#include "schedulers/schedule/scheduler_arguments.h"
#include "schedulers/schedule/sigma_schedule.h"

namespace easel {

/// Where the reference's classes differ.
struct KDiffusionTraits {
  bool float32_timesteps = true;         ///< fractions of "linspace" are rounded to float32 before sigmas are looked up
  bool karras_takes_sigma_range = true;  ///< sigma_min and sigma_max act on Karras sigmas, not on the others alone
  bool rounds_karras_timesteps = false;
};

/// Reads timestep_spacing, steps_offset, use_..._sigmas, and sigma_min and sigma_max where they act.
class KDiffusionSchedule {
 public:
  /// @throws Error(kUnsupported, kCorruptData)  names the field
  KDiffusionSchedule(SchedulerArguments& arguments, const KDiffusionTraits& traits);

  /// A run's noise levels, falling; the end at sigma 0 is not among them.
  struct Run {
    std::vector<double> timesteps;  ///< [n], on the training axis
    std::vector<double> sigmas;     ///< [n]
  };
  Run run(const NoiseSchedule& schedule, std::int64_t num_inference_steps) const;

  /// At timesteps of the caller's choice. @throws Error(kUnsupported)  sigmas have a spacing of their own
  Run run_at(const NoiseSchedule& schedule, const std::vector<double>& timesteps) const;

  TimestepSpacing timestep_spacing() const { return timestep_spacing_; }

 private:
  Run at_timesteps(const NoiseSchedule& schedule, std::vector<double> timesteps) const;

  KDiffusionTraits traits_;
  SigmaSpacing sigma_spacing_;
  SigmaRange sigma_range_;
  TimestepSpacing timestep_spacing_;
  std::int64_t steps_offset_;
};

/// What the model is told in a run with another noise level between each two.
/// @param midpoints  [n - 1] float32 sigmas; [k] lies behind timesteps[k] @param log_sigmas  of training, rising
/// @return [2n - 1]
std::vector<float> with_midpoints(const std::vector<double>& timesteps, const at::Tensor& midpoints,
                                  std::span<const float> log_sigmas);

/// What the model is told in a run whose noise levels are visited twice, but for the first: [2n - 1].
std::vector<float> repeat_interleaved(const std::vector<double>& timesteps);

}  // namespace easel
