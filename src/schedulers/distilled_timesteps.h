// Timesteps of LCM and TCD, whose models were distilled on a few of the training timesteps.
#pragma once

#include <cstdint>
#include <vector>

#include "schedulers/noise_schedule.h"
#include "schedulers/scheduler_arguments.h"

namespace easel {

/// Reads original_inference_steps, 50 by default: the timesteps that a consistency model was distilled on.
class DistilledTimesteps {
 public:
  /// @throws Error(kUnsupported)  not 1 to num_train_timesteps
  DistilledTimesteps(SchedulerArguments& arguments, const NoiseSchedule& schedule);

  /// Spread over them, from the noisiest, falling.
  /// @throws Error(kInvalidArgument)  below 1 or more than there are, or outside the schedule; param
  /// num_inference_steps
  std::vector<float> spread(std::int64_t num_inference_steps, const NoiseSchedule& schedule) const;

 private:
  std::int64_t original_inference_steps_;
  std::int64_t step_ratio_;  // training timesteps from one of them to the next
};

/// Whole timesteps of the caller's choice; fractions are cut off.
/// @throws Error(kInvalidArgument)  as check_custom_timesteps
std::vector<float> whole_timesteps(const std::vector<double>& timesteps, const NoiseSchedule& schedule);

}  // namespace easel
