// The noise that training added at each timestep, and the timesteps that a run visits; for all schedulers.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "schedulers/schedule/scheduler_arguments.h"

namespace easel {

/// How a class treats `rescale_betas_zero_snr` (Lin et al. 2023, arXiv:2305.08891, Alg. 1).
enum class ZeroTerminalSnr {
  kIgnored,     ///< the class does not have the argument, so it is dropped
  kExact,       ///< the last alphas_cumprod is 0
  kNearlyZero,  ///< it is 2^-24 instead, so that the first sigma is finite
};

struct NoiseSchedule {
  std::int64_t num_train_timesteps = 0;
  at::Tensor alphas_cumprod;  ///< [T] float32 on the CPU, falling; T is num_train_timesteps unless trained_betas has
                              ///< another length

  /// alphas_cumprod at a timestep, 0-dim. A negative one counts from the end, as a Python index.
  at::Tensor alpha_prod(std::int64_t timestep) const { return alphas_cumprod.select(0, timestep); }
  /// `original` as training saw it at a timestep.
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, std::int64_t timestep) const;
  /// sqrt((1 - alphas_cumprod) / alphas_cumprod): noise std at each training timestep, rising. float32
  std::vector<float> sigmas() const;
};

/// The defaults of a class, and the beta schedules that only some classes have.
struct NoiseScheduleDefaults {
  double beta_start = 0.0001;
  double beta_end = 0.02;
  const char* beta_schedule = "linear";
  bool supports_exp = false;                  ///< beta_schedule "exp"
  bool supports_sigmoid_and_laplace = false;  ///< beta_schedule "sigmoid" and "laplace"
};

/// Reads num_train_timesteps, beta_start, beta_end, beta_schedule, trained_betas, rescale_betas_zero_snr.
/// @throws Error(kUnsupported, kCorruptData)  names the field
NoiseSchedule read_noise_schedule(SchedulerArguments& arguments, ZeroTerminalSnr zero_terminal_snr,
                                  const NoiseScheduleDefaults& defaults = {});

/// Table 2 of Lin et al. 2023.
enum class TimestepSpacing { kLinspace, kLeading, kTrailing };
TimestepSpacing read_timestep_spacing(SchedulerArguments& arguments, const std::string& fallback);

/// `steps_offset`, which only "leading" spacing adds. @throws Error(kUnsupported)  beyond any noise schedule's length
std::int64_t read_steps_offset(SchedulerArguments& arguments, TimestepSpacing spacing);

/// Timesteps of a run, falling, in float64 and before any rounding of linspace's fractions.
std::vector<double> spaced_timesteps(TimestepSpacing spacing, std::int64_t num_inference_steps,
                                     std::int64_t num_train_timesteps, std::int64_t steps_offset);

/// The same as whole timesteps of the schedule.
/// @throws Error(kInvalidArgument)  as check_num_inference_steps and check_timestep
std::vector<float> whole_spaced_timesteps(TimestepSpacing spacing, std::int64_t num_inference_steps,
                                          const NoiseSchedule& schedule, std::int64_t steps_offset);

/// Custom timesteps, truncated to whole ones.
/// @throws Error(kInvalidArgument)  as check_custom_timesteps
std::vector<float> whole_custom_timesteps(const std::vector<double>& timesteps, const NoiseSchedule& schedule);

/// @throws Error(kInvalidArgument)  below 1 or above num_train_timesteps; param num_inference_steps
void check_num_inference_steps(std::int64_t num_inference_steps, const NoiseSchedule& schedule);

/// @throws Error(kInvalidArgument)  the list is empty, too long, not falling, or leaves 0 to num_train_timesteps - 1;
///                                  param timesteps
void check_custom_timesteps(const std::vector<double>& timesteps, const NoiseSchedule& schedule);

/// @throws Error(kInvalidArgument)  the list is empty, longer than a million, not falling, or has a number that is
///                                  negative or not finite; param sigmas
void check_custom_sigmas(const std::vector<double>& sigmas);

/// @throws Error(kInvalidArgument)  alphas_cumprod has no such index; param num_inference_steps
void check_timestep(std::int64_t timestep, const NoiseSchedule& schedule);

}  // namespace easel
