#include "schedulers/algorithms/dpmsolver_multistep.h"

#include <algorithm>

#include "easel/error.h"
#include "easel/noise.h"
#include "schedulers/numerics/tensor_math.h"

namespace easel {

DPMSolverMultistepScheduler::DPMSolverMultistepScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : DpmSolverScheduler(arguments, {.zero_terminal_snr = ZeroTerminalSnr::kNearlyZero}),
      algorithm_(arguments.choice<DpmSolverAlgorithm>("algorithm_type", "dpmsolver++",
                                                      {{"dpmsolver", DpmSolverAlgorithm::kDpmSolver},
                                                       {"dpmsolver++", DpmSolverAlgorithm::kDpmSolverPlusPlus},
                                                       {"sde-dpmsolver", DpmSolverAlgorithm::kSdeDpmSolver},
                                                       {"sde-dpmsolver++", DpmSolverAlgorithm::kSdeDpmSolverPlusPlus},
                                                       {"deis", DpmSolverAlgorithm::kDpmSolverPlusPlus}})),
      solver_type_(read_dpmsolver_type(arguments)),
      euler_at_final_(arguments.flag("euler_at_final", false)),
      learned_variance_(reads_learned_variance(arguments, prediction_type_)) {
  if (algorithm_ == DpmSolverAlgorithm::kSdeDpmSolver && solver_order_ == 3) {
    throw arguments.unsupported("solver_order", "sde-dpmsolver has no third order");
  }
  // The reference looks at the name before it reads "deis" as dpmsolver++.
  const bool may_end_at_zero = uses_data_prediction(algorithm_) && !arguments.is("algorithm_type", "deis");
  if (run_schedule_.final_sigma() == FinalSigma::kZero && !may_end_at_zero) {
    throw arguments.unsupported("algorithm_type", "it needs `final_sigmas_type` sigma_min");
  }
  if (prediction_type_ == PredictionType::kFlowPrediction && !uses_data_prediction(algorithm_)) {
    throw arguments.unsupported("prediction_type", "it needs `algorithm_type` dpmsolver++ or sde-dpmsolver++");
  }
}

Scheduler::Step DPMSolverMultistepScheduler::step(const at::Tensor& full_model_output, std::size_t step_index,
                                                  const at::Tensor& half_or_float_sample, NoiseSource& noise) {
  check_step_index(step_index);
  check_step_order(step_index, steps_done_);
  const auto model_output = learned_variance_ ? without_learned_variance(full_model_output) : full_model_output;
  check_tensors(model_output, half_or_float_sample);

  const auto from = level(step_index), to = level(step_index + 1);
  at::Tensor pred_original_sample, d0;
  if (uses_data_prediction(algorithm_)) {
    d0 = pred_original_sample =
        thresholded(original_sample_at(from, prediction_type_, model_output, half_or_float_sample));
  } else {
    d0 = noise_from(model_output, half_or_float_sample, from);
    pred_original_sample = (half_or_float_sample - from.sigma * d0) / from.alpha;
  }
  auto outputs = outputs_with(d0);

  const auto sample = half_or_float_sample.to(at::kFloat);
  const int order = order_of(step_index);
  const auto c = dpmsolver_coefficients(algorithm_, solver_type_, from, to, order);
  auto prev_sample = c.sample * sample + c.d0 * d0;
  if (order > 1) {
    const auto older = outputs.rbegin();  // older[0] is d0, older[1] the step before
    const auto h = to.lambda - from.lambda;
    const auto last = level(step_index - 1);
    const auto r0 = (from.lambda - last.lambda) / h;
    auto d1 = one_over(r0) * (older[0] - older[1]);
    at::Tensor d2;
    if (order > 2) {
      const auto r1 = (last.lambda - level(step_index - 2).lambda) / h;
      const auto bend = d1 - one_over(r1) * (older[1] - older[2]);
      d1 = d1 + (r0 / (r0 + r1)) * bend;
      d2 = one_over(r0 + r1) * bend;
    }
    prev_sample = prev_sample + c.d1 * d1;
    if (order > 2) prev_sample = prev_sample + c.d2 * d2;
  }
  if (is_stochastic(algorithm_)) prev_sample = prev_sample + c.noise * noise.normal_like(sample);
  Step result{prev_sample.to(d0.scalar_type()), pred_original_sample};

  model_outputs_ = std::move(outputs);
  ++steps_done_;
  return result;
}

int DPMSolverMultistepScheduler::order_of(std::size_t step_index) const {
  const bool lower_order_final = lower_order_final_ && timesteps_.size() < kLowerOrderFinalSteps;
  const auto steps_left = timesteps_.size() - step_index;
  auto order = std::min(solver_order_, static_cast<std::int64_t>(steps_done_) + 1);
  if (steps_left == 1 && (euler_at_final_ || lower_order_final || run_schedule_.final_sigma() == FinalSigma::kZero)) {
    order = 1;
  } else if (steps_left == 2 && lower_order_final) {
    order = std::min<std::int64_t>(order, 2);
  }
  return static_cast<int>(order);
}

at::Tensor DPMSolverMultistepScheduler::noise_from(const at::Tensor& model_output, const at::Tensor& sample,
                                                   const NoiseLevel& level) const {
  const auto epsilon = noise_at(level, prediction_type_, model_output, sample);
  if (!thresholding_.enabled()) return epsilon;
  const auto original_sample = thresholding_((sample - level.sigma * epsilon) / level.alpha);
  return (sample - level.alpha * original_sample) / level.sigma;
}

}  // namespace easel
