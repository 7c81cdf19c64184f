// DPM-Solver and DPM-Solver++, singlestep: Lu et al. 2022 (arXiv:2206.00927, arXiv:2211.01095).
#include <algorithm>

#include "easel/noise.h"
#include "schedulers/algorithms/algorithms.h"
#include "schedulers/algorithms/dpmsolver.h"
#include "schedulers/numerics/tensor_math.h"

namespace easel {
namespace {

/// Lu et al. 2022, DPM-Solver (arXiv:2206.00927) and DPM-Solver++ (arXiv:2211.01095): blocks of as many steps as the
/// order, each step of a block going further from the block's start with one output more. Orders 1 to 3, deterministic
/// or as an SDE. A run has num_inference_steps steps. Numbers agree with diffusers 0.42.1,
/// scheduling_dpmsolver_singlestep.py.
class DPMSolverSinglestepScheduler final : public Scheduler {
 public:
  DPMSolverSinglestepScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<DPMSolverSinglestepScheduler>(*this); }
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
  void begin(Run run);
  std::vector<int> orders(std::size_t steps) const;
  at::Tensor prev_sample(const std::vector<at::Tensor>& outputs, const at::Tensor& block_sample, std::size_t step_index,
                         int order) const;

  DpmSolverSettings settings_;
  DpmSolverAlgorithm algorithm_;
  DpmSolverType solver_type_;
  bool learned_variance_;  // the model output has variances after its first three channels
  Run run_;
  std::vector<int> orders_;  // [steps]; position of each step in its block, from 1
  // History: model outputs as x0 or as noise, the newest last.
  std::vector<at::Tensor> model_outputs_;
  at::Tensor block_sample_;  // the sample where the block started
};

DPMSolverSinglestepScheduler::DPMSolverSinglestepScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : settings_(arguments, DpmSolverClass::kSinglestep, /*max_order=*/3, /*default_lower_order_final=*/false),
      algorithm_(arguments.choice<DpmSolverAlgorithm>("algorithm_type", "dpmsolver++",
                                                      {{"dpmsolver", DpmSolverAlgorithm::kDpmSolver},
                                                       {"dpmsolver++", DpmSolverAlgorithm::kDpmSolverPlusPlus},
                                                       {"sde-dpmsolver++", DpmSolverAlgorithm::kSdeDpmSolverPlusPlus},
                                                       {"deis", DpmSolverAlgorithm::kDpmSolverPlusPlus}})),
      solver_type_(read_dpmsolver_type(arguments)),
      learned_variance_(reads_learned_variance(arguments, settings_.prediction_type)) {
  // The reference checks the name before it replaces "deis" by dpmsolver++.
  const bool may_end_at_zero = uses_data_prediction(algorithm_) && !arguments.is("algorithm_type", "deis");
  if (settings_.schedule.final_sigma() == FinalSigma::kZero && !may_end_at_zero) {
    throw arguments.unsupported("algorithm_type", "it needs `final_sigmas_type` sigma_min");
  }
  if (!uses_data_prediction(algorithm_)) {
    if (settings_.prediction_type == PredictionType::kFlowPrediction) {
      throw arguments.unsupported("prediction_type", "it needs `algorithm_type` dpmsolver++ or sde-dpmsolver++");
    }
    // The reference fails in its first step.
    if (settings_.thresholding.enabled())
      throw arguments.unsupported("thresholding", "it cannot be combined with `algorithm_type` dpmsolver");
  }
}

void DPMSolverSinglestepScheduler::begin(Run run) {
  run_ = std::move(run);
  model_outputs_.clear();
  orders_ = orders(run_.size());
  block_sample_ = at::Tensor();
}

// Blocks 1, 2, 3 (or 1, 2) one after the other. The end has lower orders where the last block is incomplete or
// lower_order_final asks for it.
std::vector<int> DPMSolverSinglestepScheduler::orders(std::size_t steps) const {
  const auto block = static_cast<std::size_t>(settings_.solver_order);
  const bool to_zero = settings_.schedule.final_sigma() == FinalSigma::kZero;
  const bool lowers_final = settings_.lower_order_final || steps % block != 0 || to_zero;
  std::vector<int> orders;
  for (std::size_t i = 0; i < steps; ++i) orders.push_back(static_cast<int>(i % block) + 1);
  if (lowers_final && block > 1 && steps % block == 0) orders.back() = 1;  // 1, 2, 1 and 1, 1
  if (to_zero) orders.back() = 1;
  return orders;
}

Scheduler::Step DPMSolverSinglestepScheduler::step(const at::Tensor& full_model_output, std::size_t step_index,
                                                   const at::Tensor& sample, NoiseSource& noise) {
  run_.check_next(step_index);
  const auto model_output = learned_variance_ ? without_learned_variance(full_model_output) : full_model_output;
  check_tensors(model_output, sample);

  const auto now = settings_.level(run_, step_index);
  Step result;
  std::vector<at::Tensor> outputs;
  if (uses_data_prediction(algorithm_)) {
    result.pred_original_sample =
        settings_.thresholded(original_sample_at(now, settings_.prediction_type, model_output, sample));
    outputs = settings_.append(model_outputs_, result.pred_original_sample);
  } else {
    outputs = settings_.append(model_outputs_, noise_at(now, settings_.prediction_type, model_output, sample));
    result.pred_original_sample = (sample - now.sigma * outputs.back()) / now.alpha;
  }
  // A run that begins in the middle of a block has fewer outputs than the step's order, and treats the rest as a block.
  const int order = std::min(orders_[step_index], static_cast<int>(outputs.size()));
  const auto block_sample = order == 1 ? sample : block_sample_;
  result.prev_sample = prev_sample(outputs, block_sample, step_index, order);
  if (is_stochastic(algorithm_)) {
    const auto block_start = settings_.level(run_, step_index + 1 - static_cast<std::size_t>(order));
    const auto c =
        dpmsolver_coefficients(algorithm_, solver_type_, block_start, settings_.level(run_, step_index + 1), 1);
    result.prev_sample = result.prev_sample + c.noise * noise.normal_like(model_output);
  }

  model_outputs_ = std::move(outputs);
  block_sample_ = block_sample;
  run_.advance();
  return result;
}

at::Tensor DPMSolverSinglestepScheduler::prev_sample(const std::vector<at::Tensor>& outputs,
                                                     const at::Tensor& block_sample, std::size_t step_index,
                                                     int order) const {
  const auto start = settings_.level(run_, step_index + 1 - static_cast<std::size_t>(order)),
             to = settings_.level(run_, step_index + 1);
  const auto c = dpmsolver_coefficients(algorithm_, solver_type_, start, to, order);
  const auto* newest = &outputs.back();  // newest[-1] is the step before
  const auto& d0 = newest[1 - order];    // at the block's start
  auto prev_sample = c.sample * block_sample + c.d0 * d0;
  if (order == 1) return prev_sample;

  // Positions of the later outputs of the block within the step, from 0 to 1.
  const auto h = to.lambda - start.lambda;
  const auto r0 = (settings_.level(run_, step_index).lambda - start.lambda) / h;
  const auto slope0 = one_over(r0) * (newest[0] - d0);
  if (order == 2) return prev_sample + c.d1 * slope0;
  if (solver_type_ == DpmSolverType::kMidpoint) return prev_sample + c.d1 * slope0;
  const auto r1 = (settings_.level(run_, step_index - 1).lambda - start.lambda) / h;
  const auto slope1 = one_over(r1) * (newest[-1] - d0);
  const auto d1 = (r0 * slope1 - r1 * slope0) / (r0 - r1);
  const auto d2 = (slope0 - slope1) * 2 / (r0 - r1);
  return prev_sample + c.d1 * d1 + c.d2 * d2;
}

}  // namespace

std::unique_ptr<Scheduler> make_dpmsolver_singlestep(SchedulerArguments& arguments, const SchedulerOptions& options) {
  return std::make_unique<DPMSolverSinglestepScheduler>(arguments, options);
}

}  // namespace easel
