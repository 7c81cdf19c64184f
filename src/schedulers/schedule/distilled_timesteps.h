// Which timesteps LCM and TCD visit: their models were distilled on a few of the training timesteps.
#pragma once

#include <cstdint>
#include <vector>

#include "easel/scheduler.h"
#include "schedulers/schedule/run.h"
#include "schedulers/schedule/sample_space.h"
#include "schedulers/schedule/scheduler_arguments.h"

namespace easel {

/// Reads the noise schedule with the two classes' defaults, and prediction_type.
/// @throws Error(kUnsupported, kCorruptData)  names the field
AlphaSpace read_distilled_space(SchedulerArguments& arguments);

/// Reads original_inference_steps, 50 by default: on how many timesteps the model was distilled.
/// SchedulerOptions::strength leaves out the noisiest of them.
class DistilledTimesteps {
 public:
  /// @throws Error(kUnsupported)      original_inference_steps is not 1 to num_train_timesteps
  /// @throws Error(kInvalidArgument)  strength is not 0 to 1; param strength
  DistilledTimesteps(SchedulerArguments& arguments, const SchedulerOptions& options, const NoiseSchedule& schedule);

  /// Spread over the timesteps of the distillation, from the noisiest.
  /// @throws Error(kInvalidArgument)  below 1 or above original_inference_steps (param num_inference_steps), or above
  ///                                  what strength leaves of them (param strength)
  Run run(std::int64_t num_inference_steps, const NoiseSchedule& schedule) const;

  /// At the given timesteps, of which strength leaves out the first.
  /// @throws Error(kInvalidArgument)  as check_custom_timesteps, or strength leaves none of them
  Run run_at(const std::vector<double>& timesteps, const NoiseSchedule& schedule) const;

  bool applies_strength() const { return strength_ < 1; }

 private:
  std::int64_t original_inference_steps_;
  std::int64_t step_ratio_;  // training timesteps between two timesteps of the distillation
  double strength_;
};

}  // namespace easel
