#include "easel/scheduler.h"

#include "core/text.h"
#include "easel/error.h"

namespace easel {

void Scheduler::set_custom_timesteps(const std::vector<double>&) {
  throw Error(ErrorCode::kInvalidArgument, "this scheduler takes no custom timesteps", "timesteps");
}

void Scheduler::set_custom_sigmas(const std::vector<double>&) {
  throw Error(ErrorCode::kInvalidArgument, "this scheduler takes no custom sigmas", "sigmas");
}

void Scheduler::set_begin_index(std::size_t first_step) {
  check_step_index(first_step);
  if (first_step % static_cast<std::size_t>(order()) != 0) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("scheduler: a run cannot begin at ", first_step, ", in the middle of an inference step"));
  }
  first_step_ = first_step;
}

at::Tensor Scheduler::scale_model_input(const at::Tensor& sample, std::size_t step_index) const {
  check_step_index(step_index);
  return sample;
}

void Scheduler::check_step_index(std::size_t step_index) const {
  if (step_index < timesteps_.size()) return;
  throw Error(ErrorCode::kInvalidArgument,
              concat("scheduler: step_index is ", step_index, " of a run with ", timesteps_.size(), " steps"));
}

void Scheduler::check_step_order(std::size_t step_index, std::size_t steps_done) const {
  if (step_index == first_step_ + steps_done) return;
  throw Error(ErrorCode::kInvalidArgument, concat("scheduler: step_index is ", step_index, " after ", steps_done,
                                                  " steps; this algorithm needs them in order"));
}

void Scheduler::check_tensors(const at::Tensor& model_output, const at::Tensor& sample) {
  const auto refuse = [](const auto&... what) {
    throw Error(ErrorCode::kInvalidArgument, concat("scheduler: ", what...));
  };
  if (!sample.defined() || !model_output.defined()) refuse("sample or model_output is undefined");
  if (sample.dim() < 2) refuse("sample has ", sample.dim(), " dimensions, expected [B, C, ...]");
  if (sample.sizes() != model_output.sizes()) {
    refuse("model_output is ", model_output.sizes(), ", sample is ", sample.sizes());
  }
  if (sample.device() != model_output.device()) {
    refuse("model_output is on ", model_output.device(), ", sample on ", sample.device());
  }
  if (!sample.is_floating_point() || !model_output.is_floating_point()) {
    refuse("model_output is ", model_output.scalar_type(), ", sample is ", sample.scalar_type(), ", expected floats");
  }
}

}  // namespace easel
