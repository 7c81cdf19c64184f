#include "schedulers/distilled_timesteps.h"

#include <cmath>

#include "core/text.h"
#include "easel/error.h"

namespace easel {

DistilledTimesteps::DistilledTimesteps(SchedulerArguments& arguments, const NoiseSchedule& schedule)
    : original_inference_steps_(arguments.integer("original_inference_steps", 50)) {
  if (original_inference_steps_ < 1 || original_inference_steps_ > schedule.num_train_timesteps) {
    throw arguments.unsupported("original_inference_steps", concat("expected 1 to ", schedule.num_train_timesteps));
  }
  step_ratio_ = schedule.num_train_timesteps / original_inference_steps_;
}

std::vector<float> DistilledTimesteps::spread(std::int64_t num_inference_steps, const NoiseSchedule& schedule) const {
  if (num_inference_steps < 1 || num_inference_steps > original_inference_steps_) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("num_inference_steps is ", num_inference_steps, ", expected 1 to ", original_inference_steps_,
                       ", the number of timesteps the model was distilled on"),
                "num_inference_steps");
  }
  const double stride = static_cast<double>(original_inference_steps_) / static_cast<double>(num_inference_steps);
  std::vector<float> timesteps;
  for (std::int64_t i = 0; i < num_inference_steps; ++i) {
    const auto skipped = static_cast<std::int64_t>(std::floor(static_cast<double>(i) * stride));
    const auto timestep = (original_inference_steps_ - skipped) * step_ratio_ - 1;
    check_timestep(timestep, schedule);
    timesteps.push_back(static_cast<float>(timestep));
  }
  return timesteps;
}

std::vector<float> whole_timesteps(const std::vector<double>& timesteps, const NoiseSchedule& schedule) {
  check_custom_timesteps(timesteps, schedule);
  std::vector<float> whole;
  for (const double timestep : timesteps) whole.push_back(static_cast<float>(std::trunc(timestep)));
  return whole;
}

}  // namespace easel
