#include "schedulers/schedule/distilled_timesteps.h"

#include <cmath>

#include "core/text.h"
#include "easel/error.h"

namespace easel {
namespace {

/// Python's int(count * strength).
std::int64_t share_of(std::int64_t count, double strength) {
  return static_cast<std::int64_t>(static_cast<double>(count) * strength);
}

}  // namespace

AlphaSpace read_distilled_space(SchedulerArguments& arguments) {
  return {.schedule = read_noise_schedule(arguments, ZeroTerminalSnr::kExact,
                                          {.beta_start = 0.00085, .beta_end = 0.012, .beta_schedule = "scaled_linear"}),
          .prediction_type = read_prediction_type(arguments, SupportedPredictions::kAllButFlow)};
}

DistilledTimesteps::DistilledTimesteps(SchedulerArguments& arguments, const SchedulerOptions& options,
                                       const NoiseSchedule& schedule)
    : original_inference_steps_(arguments.integer("original_inference_steps", 50)), strength_(options.strength) {
  if (original_inference_steps_ < 1 || original_inference_steps_ > schedule.num_train_timesteps) {
    throw arguments.unsupported("original_inference_steps", concat("expected 1 to ", schedule.num_train_timesteps));
  }
  if (!(strength_ >= 0 && strength_ <= 1)) {
    throw Error(ErrorCode::kInvalidArgument, concat("strength is ", strength_, ", expected 0 to 1"), "strength");
  }
  step_ratio_ = schedule.num_train_timesteps / original_inference_steps_;
}

Run DistilledTimesteps::run(std::int64_t num_inference_steps, const NoiseSchedule& schedule) const {
  if (num_inference_steps < 1 || num_inference_steps > original_inference_steps_) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("num_inference_steps is ", num_inference_steps, ", expected 1 to ", original_inference_steps_,
                       ", the number of timesteps the model was distilled on"),
                "num_inference_steps");
  }
  const auto left = share_of(original_inference_steps_, strength_);
  if (left < num_inference_steps) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("strength ", strength_, " leaves ", left, " of the ", original_inference_steps_,
                       " timesteps the model was distilled on, fewer than num_inference_steps, ", num_inference_steps),
                "strength");
  }
  const double stride = static_cast<double>(left) / static_cast<double>(num_inference_steps);
  std::vector<float> timesteps;
  for (std::int64_t i = 0; i < num_inference_steps; ++i) {
    const auto skipped = static_cast<std::int64_t>(std::floor(static_cast<double>(i) * stride));
    const auto timestep = (left - skipped) * step_ratio_ - 1;
    check_timestep(timestep, schedule);
    timesteps.push_back(static_cast<float>(timestep));
  }
  return Run(std::move(timesteps));
}

Run DistilledTimesteps::run_at(const std::vector<double>& timesteps, const NoiseSchedule& schedule) const {
  const auto whole = whole_custom_timesteps(timesteps, schedule);
  const auto left = share_of(static_cast<std::int64_t>(whole.size()), strength_);
  if (left < 1) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("strength ", strength_, " leaves none of ", whole.size(), " timesteps"), "strength");
  }
  return Run({whole.end() - left, whole.end()});
}

}  // namespace easel
