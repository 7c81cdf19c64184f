#include "schedulers/algorithms/dpmsolver_singlestep.h"

#include <algorithm>

#include "easel/error.h"
#include "easel/noise.h"
#include "schedulers/numerics/tensor_math.h"

namespace easel {

DPMSolverSinglestepScheduler::DPMSolverSinglestepScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : DpmSolverScheduler(arguments,
                         {.run = {.spaces_timesteps = false, .has_lu_lambdas = false, .rounds_cosine_timesteps = true},
                          .lower_order_final = false}),
      algorithm_(arguments.choice<DpmSolverAlgorithm>("algorithm_type", "dpmsolver++",
                                                      {{"dpmsolver", DpmSolverAlgorithm::kDpmSolver},
                                                       {"dpmsolver++", DpmSolverAlgorithm::kDpmSolverPlusPlus},
                                                       {"sde-dpmsolver++", DpmSolverAlgorithm::kSdeDpmSolverPlusPlus},
                                                       {"deis", DpmSolverAlgorithm::kDpmSolverPlusPlus}})),
      solver_type_(read_dpmsolver_type(arguments)),
      learned_variance_(reads_learned_variance(arguments, prediction_type_)) {
  // The reference looks at the name before it reads "deis" as dpmsolver++.
  const bool may_end_at_zero = uses_data_prediction(algorithm_) && !arguments.is("algorithm_type", "deis");
  if (run_schedule_.final_sigma() == FinalSigma::kZero && !may_end_at_zero) {
    throw arguments.unsupported("algorithm_type", "it needs `final_sigmas_type` sigma_min");
  }
  if (!uses_data_prediction(algorithm_)) {
    if (prediction_type_ == PredictionType::kFlowPrediction) {
      throw arguments.unsupported("prediction_type", "it needs `algorithm_type` dpmsolver++ or sde-dpmsolver++");
    }
    // The reference fails on it in its first step.
    if (thresholding_.enabled()) throw arguments.unsupported("thresholding", "not with `algorithm_type` dpmsolver");
  }
}

void DPMSolverSinglestepScheduler::begin(DpmSolverSchedule::Run run) {
  DpmSolverScheduler::begin(std::move(run));
  orders_ = orders(timesteps_.size());
  block_sample_ = at::Tensor();
}

// Blocks 1, 2, 3 (or 1, 2) one after the other; the end is filled with lower orders where the last block would be cut,
// or where lower_order_final asks for it.
std::vector<int> DPMSolverSinglestepScheduler::orders(std::size_t steps) const {
  const auto block = static_cast<std::size_t>(solver_order_);
  const bool to_zero = run_schedule_.final_sigma() == FinalSigma::kZero;
  const bool lowers_final = lower_order_final_ || steps % block != 0 || to_zero;
  std::vector<int> orders;
  for (std::size_t i = 0; i < steps; ++i) orders.push_back(static_cast<int>(i % block) + 1);
  if (lowers_final && block > 1 && steps % block == 0) orders.back() = 1;  // 1, 2, 1 and 1, 1
  if (to_zero) orders.back() = 1;
  return orders;
}

Scheduler::Step DPMSolverSinglestepScheduler::step(const at::Tensor& full_model_output, std::size_t step_index,
                                                   const at::Tensor& sample, NoiseSource& noise) {
  check_step_index(step_index);
  check_step_order(step_index, steps_done_);
  const auto model_output = learned_variance_ ? without_learned_variance(full_model_output) : full_model_output;
  check_tensors(model_output, sample);

  const auto now = level(step_index);
  Step result;
  std::vector<at::Tensor> outputs;
  if (uses_data_prediction(algorithm_)) {
    result.pred_original_sample = thresholded(original_sample_at(now, prediction_type_, model_output, sample));
    outputs = outputs_with(result.pred_original_sample);
  } else {
    outputs = outputs_with(noise_at(now, prediction_type_, model_output, sample));
    result.pred_original_sample = (sample - now.sigma * outputs.back()) / now.alpha;
  }
  // Begun in the middle of a block, a run has fewer outputs than the step's order, and makes a block of what is left.
  const int order = std::min(orders_[step_index], static_cast<int>(outputs.size()));
  const auto block_sample = order == 1 ? sample : block_sample_;
  result.prev_sample = prev_sample(outputs, block_sample, step_index, order);
  if (is_stochastic(algorithm_)) {
    const auto block_start = level(step_index + 1 - static_cast<std::size_t>(order));
    const auto c = dpmsolver_coefficients(algorithm_, solver_type_, block_start, level(step_index + 1), 1);
    result.prev_sample = result.prev_sample + c.noise * noise.normal_like(model_output);
  }

  model_outputs_ = std::move(outputs);
  block_sample_ = block_sample;
  ++steps_done_;
  return result;
}

at::Tensor DPMSolverSinglestepScheduler::prev_sample(const std::vector<at::Tensor>& outputs,
                                                     const at::Tensor& block_sample, std::size_t step_index,
                                                     int order) const {
  const auto start = level(step_index + 1 - static_cast<std::size_t>(order)), to = level(step_index + 1);
  const auto c = dpmsolver_coefficients(algorithm_, solver_type_, start, to, order);
  const auto* newest = &outputs.back();  // newest[-1] is the step before
  const auto& d0 = newest[1 - order];    // at the block's start
  const auto prev_sample = c.sample * block_sample + c.d0 * d0;
  if (order == 1) return prev_sample;

  // How far the later outputs of the block lie into the step.
  const auto h = to.lambda - start.lambda;
  const auto r0 = (level(step_index).lambda - start.lambda) / h;
  const auto slope0 = one_over(r0) * (newest[0] - d0);
  if (order == 2) return prev_sample + c.d1 * slope0;
  if (solver_type_ == DpmSolverType::kMidpoint) return prev_sample + c.d1 * slope0;
  const auto r1 = (level(step_index - 1).lambda - start.lambda) / h;
  const auto slope1 = one_over(r1) * (newest[-1] - d0);
  const auto d1 = (r0 * slope1 - r1 * slope0) / (r0 - r1);
  const auto d2 = (slope0 - slope1) * 2 / (r0 - r1);
  return prev_sample + c.d1 * d1 + c.d2 * d2;
}

}  // namespace easel
