// UniPC: Zhao et al. 2023 (arXiv:2302.04867).
#include <ATen/TensorOperators.h>
#include <ATen/ops/einsum.h>
#include <ATen/ops/expm1.h>
#include <ATen/ops/linalg_solve_ex.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/stack.h>

#include <algorithm>

#include "core/text.h"
#include "easel/error.h"
#include "schedulers/algorithms/algorithms.h"
#include "schedulers/algorithms/dpmsolver.h"

namespace easel {
namespace {

constexpr std::int64_t kMaxOrder = 16;  // the method has no limit; useful orders are far below this one

std::vector<double> read_disable_corrector(SchedulerArguments& arguments) {
  if (arguments.is_null("disable_corrector")) {
    throw arguments.unsupported("disable_corrector", "expected a list of step indices");
  }
  return arguments.optional_numbers("disable_corrector").value_or(std::vector<double>());
}

// Sum of weights[k] * tensors[k], in the dtype of the tensors.
at::Tensor weighted_sum(const at::Tensor& weights, const std::vector<at::Tensor>& tensors) {
  const auto rounded = weights.to(tensors[0].scalar_type());
  if (tensors.size() == 1) return rounded.select(0, 0) * tensors[0];
  const auto there = rounded.to(tensors[0].device(), /*non_blocking=*/true);
  return at::einsum("k,bkc...->bc...", {there, at::stack(tensors, 1)});
}

// As linalg_solve, without its check that waits for the device; both tensors are on the CPU.
at::Tensor solve(const at::Tensor& matrix, const at::Tensor& right_hand_side) {
  const auto [solution, failures] = at::linalg_solve_ex(matrix, right_hand_side);
  if (*failures.const_data_ptr<int>() == 0) return solution;
  throw Error(ErrorCode::kUnsupported, "UniPC: the steps of this run are too uneven for its `solver_order`");
}

/// Zhao et al. 2023 (arXiv:2302.04867): a multistep predictor of any order, and a corrector that repeats the step to
/// this noise level with the model output found there, without another evaluation. Numbers agree with diffusers 0.42.1,
/// scheduling_unipc_multistep.py.
class UniPCMultistepScheduler final : public Scheduler {
 public:
  UniPCMultistepScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<UniPCMultistepScheduler>(*this); }
  const std::vector<float>& timesteps() const override { return run_.timesteps(); }
  void set_begin_index(std::size_t first_step) override { run_.begin_at(first_step, order()); }
  void set_timesteps(std::int64_t num_inference_steps) override { begin(settings_.schedule.run(num_inference_steps)); }
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, std::size_t step_index) const override {
    return settings_.add_noise(run_, original, noise, step_index);
  }
  void set_custom_sigmas(const std::vector<double>& sigmas) override;
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  enum class StepSize { kBh1, kBh2 };  // B(h) of the paper: h, or exp(h) - 1

  // The part of a step from a level to the next that does not depend on the model output there: the divided differences
  // of older outputs, and the system of equations for their weights.
  struct Update {
    at::Tensor moved;  // [B, C, h, w], the first order's result
    at::Tensor scale;  // 0-dim, factor of the weighted differences, which are subtracted
    std::vector<at::Tensor> differences;
    at::Tensor matrix;           // [order, order], powers of the ratios of the steps
    at::Tensor right_hand_side;  // [order]
  };

  void begin(Run run);
  at::Tensor converted(const at::Tensor& model_output, const at::Tensor& sample, std::size_t step_index) const;
  Update update(const std::vector<at::Tensor>& outputs, const at::Tensor& sample, std::size_t from, int order) const;
  at::Tensor predict(const std::vector<at::Tensor>& outputs, const at::Tensor& sample, std::size_t step_index,
                     int order) const;
  at::Tensor correct(const at::Tensor& output, const at::Tensor& sample, std::size_t step_index) const;
  bool corrects_before(std::size_t step_index) const;
  int order_of(std::size_t step_index) const;

  DpmSolverSettings settings_;
  bool predict_x0_;
  StepSize step_size_;
  std::vector<double> disable_corrector_;  // indices of the steps after which there is no correction
  Run run_;
  // History.
  std::vector<at::Tensor> model_outputs_;  // x0 or noise, as predict_x0 says; the newest last
  at::Tensor last_sample_;                 // the sample where the last step started, corrected
  int last_order_ = 0;
};

UniPCMultistepScheduler::UniPCMultistepScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : settings_(arguments, DpmSolverClass::kUniPC, kMaxOrder),
      predict_x0_(arguments.flag("predict_x0", true)),
      // As in the reference, the names that other classes use mean bh2.
      step_size_(arguments.choice<StepSize>("solver_type", "bh2",
                                            {{"bh1", StepSize::kBh1},
                                             {"bh2", StepSize::kBh2},
                                             {"midpoint", StepSize::kBh2},
                                             {"heun", StepSize::kBh2},
                                             {"logrho", StepSize::kBh2}})),
      disable_corrector_(read_disable_corrector(arguments)) {
  if (arguments.has("solver_p")) throw arguments.unsupported("solver_p", "easel supports only UniPC's own predictor");
  if (arguments.has("shift_terminal")) throw arguments.unsupported("shift_terminal", "it is for video models");
  if (arguments.flag("use_dynamic_shifting", false)) {
    throw arguments.unsupported("use_dynamic_shifting",
                                "the models that easel supports do not provide the number it needs");
  }
  if (settings_.prediction_type == PredictionType::kFlowPrediction && !predict_x0_) {
    throw arguments.unsupported("prediction_type", "it needs `predict_x0`");
  }
}

void UniPCMultistepScheduler::set_custom_sigmas(const std::vector<double>& sigmas) {
  begin(settings_.schedule.run_at_sigmas(sigmas));
}

void UniPCMultistepScheduler::begin(Run run) {
  // The step to sigma 0 is infinite in lambda, and the system of equations for its weights is singular.
  const bool to_zero = settings_.schedule.final_sigma() == FinalSigma::kZero;
  if (to_zero && !settings_.lower_order_final && std::min<std::size_t>(run.size(), settings_.solver_order) > 2) {
    throw Error(ErrorCode::kUnsupported, concat("scheduler_config.json: `solver_order` is ", settings_.solver_order,
                                                "; above 2, a run that ends at sigma 0 needs `lower_order_final`"));
  }
  run_ = std::move(run);
  model_outputs_.clear();
  last_sample_ = at::Tensor();
}

Scheduler::Step UniPCMultistepScheduler::step(const at::Tensor& model_output, std::size_t step_index,
                                              const at::Tensor& predicted_sample, NoiseSource&) {
  run_.check_next(step_index);
  check_tensors(model_output, predicted_sample);
  const auto output = converted(model_output, predicted_sample, step_index);
  const auto sample = corrects_before(step_index) ? correct(output, predicted_sample, step_index) : predicted_sample;
  auto outputs = settings_.append(model_outputs_, output);

  const int order = order_of(step_index);
  Step result;
  result.prev_sample = predict(outputs, sample, step_index, order);
  const auto now = settings_.level(run_, step_index);
  result.pred_original_sample = predict_x0_ ? output : (predicted_sample - now.sigma * output) / now.alpha;

  model_outputs_ = std::move(outputs);
  last_sample_ = sample;
  last_order_ = order;
  run_.advance();
  return result;
}

at::Tensor UniPCMultistepScheduler::converted(const at::Tensor& model_output, const at::Tensor& sample,
                                              std::size_t step_index) const {
  if (!predict_x0_) return noise_at(settings_.level(run_, step_index), settings_.prediction_type, model_output, sample);
  return settings_.thresholded(
      original_sample_at(settings_.level(run_, step_index), settings_.prediction_type, model_output, sample));
}

bool UniPCMultistepScheduler::corrects_before(std::size_t step_index) const {
  const auto& disabled = disable_corrector_;
  return last_sample_.defined() &&
         std::find(disabled.begin(), disabled.end(), static_cast<double>(step_index) - 1) == disabled.end();
}

int UniPCMultistepScheduler::order_of(std::size_t step_index) const {
  auto order = settings_.available_order(run_.steps_done());
  if (settings_.lower_order_final) order = std::min(order, static_cast<std::int64_t>(run_.size() - step_index));
  return static_cast<int>(order);
}

// Equations 7 to 9 and Appendix A of the paper. `outputs` end with the one at level `from`.
UniPCMultistepScheduler::Update UniPCMultistepScheduler::update(const std::vector<at::Tensor>& outputs,
                                                                const at::Tensor& sample, std::size_t from,
                                                                int order) const {
  const auto start = settings_.level(run_, from), end = settings_.level(run_, from + 1);
  const auto h = end.lambda - start.lambda;
  const auto& newest = outputs.back();
  Update update;
  std::vector<at::Tensor> ratios;
  for (int i = 1; i < order; ++i) {
    const auto ratio = (settings_.level(run_, from - static_cast<std::size_t>(i)).lambda - start.lambda) / h;
    ratios.push_back(ratio);
    update.differences.push_back((outputs[outputs.size() - 1 - static_cast<std::size_t>(i)] - newest) / ratio);
  }
  ratios.push_back(at::ones({}, at::kFloat));

  const auto hh = predict_x0_ ? -h : h;
  const auto phi_1 = at::expm1(hh);
  const auto step_size = step_size_ == StepSize::kBh1 ? hh : phi_1;
  std::vector<at::Tensor> rows, right_hand_side;
  auto phi = phi_1 / hh - 1;
  double factorial = 1;
  for (int i = 1; i <= order; ++i) {
    rows.push_back(at::pow(at::stack(ratios), i - 1));
    right_hand_side.push_back(phi * factorial / step_size);
    factorial *= i + 1;
    phi = phi / hh - 1 / factorial;
  }
  update.matrix = at::stack(rows);
  update.right_hand_side = at::stack(right_hand_side);
  const auto& kept = predict_x0_ ? end.sigma / start.sigma : end.alpha / start.alpha;
  const auto& gained = predict_x0_ ? end.alpha : end.sigma;
  update.moved = kept * sample - gained * phi_1 * newest;
  update.scale = gained * step_size;
  return update;
}

at::Tensor UniPCMultistepScheduler::predict(const std::vector<at::Tensor>& outputs, const at::Tensor& sample,
                                            std::size_t step_index, int order) const {
  const auto u = update(outputs, sample, step_index, order);
  if (order == 1) return u.moved - u.scale * 0;  // NaN where the scale is infinite, as with bh1 at sigma 0
  if (order == 2) return u.moved - u.scale * (u.differences[0] * 0.5);
  const auto weights = solve(u.matrix.slice(0, 0, -1).slice(1, 0, -1), u.right_hand_side.slice(0, 0, -1));
  return u.moved - u.scale * weighted_sum(weights, u.differences);
}

at::Tensor UniPCMultistepScheduler::correct(const at::Tensor& output, const at::Tensor& sample,
                                            std::size_t step_index) const {
  const auto u = update(model_outputs_, last_sample_, step_index - 1, last_order_);
  const auto difference = output - model_outputs_.back();
  if (last_order_ == 1) return u.moved - u.scale * (difference * 0.5);
  const auto weights = solve(u.matrix, u.right_hand_side);
  const auto older = weighted_sum(weights.slice(0, 0, -1), u.differences);
  return u.moved - u.scale * (older + weights.select(0, -1).to(sample.scalar_type()) * difference);
}

}  // namespace

std::unique_ptr<Scheduler> make_unipc_multistep(SchedulerArguments& arguments, const SchedulerOptions& options) {
  return std::make_unique<UniPCMultistepScheduler>(arguments, options);
}

}  // namespace easel
