#include "schedulers/dpmsolver_multistep.h"

#include <algorithm>

#include "easel/error.h"
#include "schedulers/tensor_math.h"
#include "tensor/noise_source.h"

namespace easel {

DPMSolverMultistepScheduler::DPMSolverMultistepScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : schedule_(read_noise_schedule(arguments, ZeroTerminalSnr::kNearly)),
      run_schedule_(arguments, {}),
      prediction_type_(read_prediction_type(arguments, {{"epsilon", PredictionType::kEpsilon},
                                                        {"sample", PredictionType::kSample},
                                                        {"v_prediction", PredictionType::kVPrediction},
                                                        {"flow_prediction", PredictionType::kFlowPrediction}})),
      algorithm_(arguments.choice<DpmSolverAlgorithm>("algorithm_type", "dpmsolver++",
                                                      {{"dpmsolver", DpmSolverAlgorithm::kDpmSolver},
                                                       {"dpmsolver++", DpmSolverAlgorithm::kDpmSolverPlusPlus},
                                                       {"sde-dpmsolver", DpmSolverAlgorithm::kSdeDpmSolver},
                                                       {"sde-dpmsolver++", DpmSolverAlgorithm::kSdeDpmSolverPlusPlus},
                                                       {"deis", DpmSolverAlgorithm::kDpmSolverPlusPlus}})),
      solver_type_(read_dpmsolver_type(arguments)),
      solver_order_(arguments.integer("solver_order", 2)),
      lower_order_final_(arguments.flag("lower_order_final", true)),
      euler_at_final_(arguments.flag("euler_at_final", false)),
      learned_variance_(reads_learned_variance(arguments, prediction_type_)),
      thresholding_(arguments) {
  if (solver_order_ < 1 || solver_order_ > 3) throw arguments.unsupported("solver_order", "expected 1, 2 or 3");
  if (algorithm_ == DpmSolverAlgorithm::kSdeDpmSolver && solver_order_ == 3) {
    throw arguments.unsupported("solver_order", "sde-dpmsolver has no third order");
  }
  // The reference looks at the name before it reads "deis" as dpmsolver++.
  const bool may_end_at_zero = solves_for_original_sample(algorithm_) && !arguments.is("algorithm_type", "deis");
  if (run_schedule_.final_sigma() == FinalSigma::kZero && !may_end_at_zero) {
    throw arguments.unsupported("algorithm_type", "it needs `final_sigmas_type` sigma_min");
  }
  if (prediction_type_ == PredictionType::kFlowPrediction && !solves_for_original_sample(algorithm_)) {
    throw arguments.unsupported("prediction_type", "it needs `algorithm_type` dpmsolver++ or sde-dpmsolver++");
  }
}

void DPMSolverMultistepScheduler::set_timesteps(std::int64_t num_inference_steps) {
  check_num_inference_steps(num_inference_steps, schedule_);
  begin(run_schedule_.run(schedule_, num_inference_steps));
}

void DPMSolverMultistepScheduler::set_custom_timesteps(const std::vector<double>& timesteps) {
  check_custom_timesteps(timesteps, schedule_);
  begin(run_schedule_.run_at(schedule_, timesteps));
}

void DPMSolverMultistepScheduler::begin(DpmSolverSchedule::Run run) {
  timesteps_ = std::move(run.timesteps);
  sigmas_ = run.sigmas;
  steps_done_ = 0;
  model_outputs_.clear();
}

at::Tensor DPMSolverMultistepScheduler::add_noise(const at::Tensor& original, const at::Tensor& noise,
                                                  std::size_t step_index) const {
  check_step_index(step_index);
  const auto now = level(step_index);
  return now.alpha.to(original.scalar_type()) * original + now.sigma.to(original.scalar_type()) * noise;
}

Scheduler::Step DPMSolverMultistepScheduler::step(const at::Tensor& full_model_output, std::size_t step_index,
                                                  const at::Tensor& half_or_float_sample, NoiseSource& noise) {
  check_step_index(step_index);
  check_in_order(step_index, steps_done_);
  const auto model_output = learned_variance_ ? without_learned_variance(full_model_output) : full_model_output;
  check_tensors(model_output, half_or_float_sample);

  const auto from = level(step_index), to = level(step_index + 1);
  at::Tensor pred_original_sample, d0;
  if (solves_for_original_sample(algorithm_)) {
    d0 = pred_original_sample = original_sample_from(model_output, half_or_float_sample, from);
  } else {
    d0 = noise_from(model_output, half_or_float_sample, from);
    pred_original_sample = (half_or_float_sample - from.sigma * d0) / from.alpha;
  }
  auto outputs = model_outputs_;
  outputs.push_back(d0);

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

  if (outputs.size() > static_cast<std::size_t>(solver_order_)) outputs.erase(outputs.begin());
  model_outputs_ = std::move(outputs);
  ++steps_done_;
  return result;
}

NoiseLevel DPMSolverMultistepScheduler::level(std::size_t index) const {
  return noise_level(sigmas_.select(0, static_cast<std::int64_t>(index)), run_schedule_.uses_flow_sigmas());
}

int DPMSolverMultistepScheduler::order_of(std::size_t step_index) const {
  const bool lower_order_final = lower_order_final_ && timesteps_.size() < kFewSteps;
  const auto steps_left = timesteps_.size() - step_index;
  auto order = std::min(solver_order_, static_cast<std::int64_t>(steps_done_) + 1);
  if (steps_left == 1 && (euler_at_final_ || lower_order_final || run_schedule_.final_sigma() == FinalSigma::kZero)) {
    order = 1;
  } else if (steps_left == 2 && lower_order_final) {
    order = std::min<std::int64_t>(order, 2);
  }
  return static_cast<int>(order);
}

at::Tensor DPMSolverMultistepScheduler::original_sample_from(const at::Tensor& model_output, const at::Tensor& sample,
                                                             const NoiseLevel& level) const {
  const auto original_sample = original_sample_at(level, prediction_type_, model_output, sample);
  return thresholding_.enabled() ? thresholding_(original_sample) : original_sample;
}

at::Tensor DPMSolverMultistepScheduler::noise_from(const at::Tensor& model_output, const at::Tensor& sample,
                                                   const NoiseLevel& level) const {
  const auto epsilon = noise_at(level, prediction_type_, model_output, sample);
  if (!thresholding_.enabled()) return epsilon;
  const auto original_sample = thresholding_((sample - level.sigma * epsilon) / level.alpha);
  return (sample - level.alpha * original_sample) / level.sigma;
}

}  // namespace easel
