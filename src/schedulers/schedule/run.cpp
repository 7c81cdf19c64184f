#include "schedulers/schedule/run.h"

#include "core/text.h"
#include "easel/error.h"

namespace easel {

void check_step_index(std::size_t step_index, std::size_t steps) {
  if (step_index < steps) return;
  throw Error(ErrorCode::kInvalidArgument,
              concat("scheduler: step_index is ", step_index, " in a run of ", steps, " steps"));
}

void Run::begin_at(std::size_t first_step, std::int64_t order) {
  check_index(first_step);
  if (first_step % static_cast<std::size_t>(order) != 0) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("scheduler: a run cannot begin at ", first_step, ", in the middle of an inference step"));
  }
  first_step_ = first_step;
}

void Run::check_index(std::size_t step_index) const {
  check_step_index(step_index, size());
}

void Run::check_next(std::size_t step_index) const {
  check_index(step_index);
  if (step_index == first_step_ + steps_done_) return;
  throw Error(ErrorCode::kInvalidArgument, concat("scheduler: step_index is ", step_index, " after ", steps_done_,
                                                  " steps; this algorithm needs its steps in order"));
}

void check_tensors(const at::Tensor& model_output, const at::Tensor& sample) {
  const auto reject = [](const auto&... what) {
    throw Error(ErrorCode::kInvalidArgument, concat("scheduler: ", what...));
  };
  if (!sample.defined() || !model_output.defined()) reject("sample or model_output is undefined");
  if (sample.dim() < 2) reject("sample has ", sample.dim(), " dimensions, expected [B, C, ...]");
  if (sample.sizes() != model_output.sizes()) {
    reject("model_output is ", model_output.sizes(), ", sample is ", sample.sizes());
  }
  if (sample.device() != model_output.device()) {
    reject("model_output is on ", model_output.device(), ", sample on ", sample.device());
  }
  if (!sample.is_floating_point() || !model_output.is_floating_point()) {
    reject("model_output is ", model_output.scalar_type(), ", sample is ", sample.scalar_type(), ", expected floats");
  }
}

}  // namespace easel
