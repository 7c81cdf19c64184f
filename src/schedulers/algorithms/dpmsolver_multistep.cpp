// DPM-Solver and DPM-Solver++, multistep: Lu et al. 2022 (arXiv:2206.00927, arXiv:2211.01095).
#include <algorithm>

#include "easel/noise.h"
#include "schedulers/algorithms/algorithms.h"
#include "schedulers/algorithms/dpmsolver.h"
#include "schedulers/numerics/tensor_math.h"

namespace easel {
namespace {

/// Lu et al. 2022, DPM-Solver (arXiv:2206.00927) and DPM-Solver++ (arXiv:2211.01095): orders 1 to 3, deterministic or
/// as an SDE. The last model outputs are kept, so steps must come in order. The update of a half sample is float32.
/// Numbers agree with diffusers 0.42.1, scheduling_dpmsolver_multistep.py.
class DPMSolverMultistepScheduler final : public Scheduler {
 public:
  DPMSolverMultistepScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<DPMSolverMultistepScheduler>(*this); }
  const std::vector<float>& timesteps() const override { return run_.timesteps(); }
  void set_begin_index(std::size_t first_step) override { run_.begin_at(first_step, order()); }
  void set_timesteps(std::int64_t num_inference_steps) override { begin(settings_.schedule.run(num_inference_steps)); }
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, std::size_t step_index) const override {
    return settings_.add_noise(run_, original, noise, step_index);
  }
  void set_custom_timesteps(const std::vector<double>& timesteps) override {
    begin(settings_.schedule.run_at(timesteps));
  }
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  void begin(Run run) {
    run_ = std::move(run);
    model_outputs_.clear();
  }
  int order_of(std::size_t step_index) const;
  at::Tensor noise_from(const at::Tensor& model_output, const at::Tensor& sample, const NoiseLevel& level) const;

  DpmSolverSettings settings_;
  DpmSolverAlgorithm algorithm_;
  DpmSolverType solver_type_;
  bool euler_at_final_;
  bool learned_variance_;  // the model output has variances after its first three channels
  Run run_;
  // History: model outputs as x0 or as noise, the newest last.
  std::vector<at::Tensor> model_outputs_;
};

DPMSolverMultistepScheduler::DPMSolverMultistepScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : settings_(arguments, DpmSolverClass::kMultistep),
      algorithm_(arguments.choice<DpmSolverAlgorithm>("algorithm_type", "dpmsolver++",
                                                      {{"dpmsolver", DpmSolverAlgorithm::kDpmSolver},
                                                       {"dpmsolver++", DpmSolverAlgorithm::kDpmSolverPlusPlus},
                                                       {"sde-dpmsolver", DpmSolverAlgorithm::kSdeDpmSolver},
                                                       {"sde-dpmsolver++", DpmSolverAlgorithm::kSdeDpmSolverPlusPlus},
                                                       {"deis", DpmSolverAlgorithm::kDpmSolverPlusPlus}})),
      solver_type_(read_dpmsolver_type(arguments)),
      euler_at_final_(arguments.flag("euler_at_final", false)),
      learned_variance_(reads_learned_variance(arguments, settings_.prediction_type)) {
  if (algorithm_ == DpmSolverAlgorithm::kSdeDpmSolver && settings_.solver_order == 3) {
    throw arguments.unsupported("solver_order", "sde-dpmsolver does not have a third order");
  }
  // The reference checks the name before it replaces "deis" by dpmsolver++.
  const bool may_end_at_zero = uses_data_prediction(algorithm_) && !arguments.is("algorithm_type", "deis");
  if (settings_.schedule.final_sigma() == FinalSigma::kZero && !may_end_at_zero) {
    throw arguments.unsupported("algorithm_type", "it needs `final_sigmas_type` sigma_min");
  }
  if (settings_.prediction_type == PredictionType::kFlowPrediction && !uses_data_prediction(algorithm_)) {
    throw arguments.unsupported("prediction_type", "it needs `algorithm_type` dpmsolver++ or sde-dpmsolver++");
  }
}

Scheduler::Step DPMSolverMultistepScheduler::step(const at::Tensor& full_model_output, std::size_t step_index,
                                                  const at::Tensor& half_or_float_sample, NoiseSource& noise) {
  run_.check_next(step_index);
  const auto model_output = learned_variance_ ? without_learned_variance(full_model_output) : full_model_output;
  check_tensors(model_output, half_or_float_sample);

  const auto from = settings_.level(run_, step_index), to = settings_.level(run_, step_index + 1);
  at::Tensor pred_original_sample, d0;
  if (uses_data_prediction(algorithm_)) {
    d0 = pred_original_sample =
        settings_.thresholded(original_sample_at(from, settings_.prediction_type, model_output, half_or_float_sample));
  } else {
    d0 = noise_from(model_output, half_or_float_sample, from);
    pred_original_sample = (half_or_float_sample - from.sigma * d0) / from.alpha;
  }
  auto outputs = settings_.append(model_outputs_, d0);

  const auto sample = half_or_float_sample.to(at::kFloat);
  const int order = order_of(step_index);
  const auto c = dpmsolver_coefficients(algorithm_, solver_type_, from, to, order);
  auto prev_sample = c.sample * sample + c.d0 * d0;
  if (order > 1) {
    const auto older = outputs.rbegin();  // older[0] is d0, older[1] the step before
    const auto h = to.lambda - from.lambda;
    const auto last = settings_.level(run_, step_index - 1);
    const auto r0 = (from.lambda - last.lambda) / h;
    auto d1 = one_over(r0) * (older[0] - older[1]);
    at::Tensor d2;
    if (order > 2) {
      const auto r1 = (last.lambda - settings_.level(run_, step_index - 2).lambda) / h;
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
  run_.advance();
  return result;
}

int DPMSolverMultistepScheduler::order_of(std::size_t step_index) const {
  const bool lower_order_final = settings_.lower_order_final && run_.size() < kLowerOrderFinalSteps;
  const auto steps_left = run_.size() - step_index;
  auto order = settings_.available_order(run_.steps_done());
  if (steps_left == 1 &&
      (euler_at_final_ || lower_order_final || settings_.schedule.final_sigma() == FinalSigma::kZero)) {
    order = 1;
  } else if (steps_left == 2 && lower_order_final) {
    order = std::min<std::int64_t>(order, 2);
  }
  return static_cast<int>(order);
}

at::Tensor DPMSolverMultistepScheduler::noise_from(const at::Tensor& model_output, const at::Tensor& sample,
                                                   const NoiseLevel& level) const {
  auto epsilon = noise_at(level, settings_.prediction_type, model_output, sample);
  if (!settings_.thresholding.enabled()) return epsilon;
  const auto original_sample = settings_.thresholding((sample - level.sigma * epsilon) / level.alpha);
  return (sample - level.alpha * original_sample) / level.sigma;
}

}  // namespace

std::unique_ptr<Scheduler> make_dpmsolver_multistep(SchedulerArguments& arguments, const SchedulerOptions& options) {
  return std::make_unique<DPMSolverMultistepScheduler>(arguments, options);
}

}  // namespace easel
