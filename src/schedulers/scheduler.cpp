// What an algorithm does unless it overrides it.
#include "easel/scheduler.h"

#include "easel/error.h"
#include "schedulers/schedule/run.h"

namespace easel {

void Scheduler::set_custom_timesteps(const std::vector<double>&) {
  throw Error(ErrorCode::kInvalidArgument, "this scheduler does not support custom timesteps", "timesteps");
}

void Scheduler::set_custom_sigmas(const std::vector<double>&) {
  throw Error(ErrorCode::kInvalidArgument, "this scheduler does not support custom sigmas", "sigmas");
}

std::optional<float> Scheduler::sigma(std::size_t step_index) const {
  check_step_index(step_index, timesteps().size());
  return std::nullopt;
}

at::Tensor Scheduler::scale_model_input(const at::Tensor& sample, std::size_t step_index) const {
  check_step_index(step_index, timesteps().size());
  return sample;
}

}  // namespace easel
