#include "schedulers/algorithms/unipc_multistep.h"

#include <ATen/ops/einsum.h>
#include <ATen/ops/expm1.h>
#include <ATen/ops/linalg_solve_ex.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/stack.h>

#include <algorithm>

#include "core/text.h"
#include "easel/error.h"
#include "schedulers/numerics/tensor_math.h"

namespace easel {
namespace {

constexpr DpmSolverTraits kTraits{.clips_lambda = false,
                                  .has_lu_lambdas = false,
                                  .ends_at_own_sigma = true,
                                  .rounds_cosine_timesteps = true,
                                  .unipc_flow = true};
constexpr std::int64_t kMaxOrder = 16;  // any is possible; far above any that is of use

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

// As linalg_solve, but without its look at a tensor's value, which on a device would be waited for: both are on the
// CPU.
at::Tensor solve(const at::Tensor& matrix, const at::Tensor& right_hand_side) {
  const auto [solution, failures] = at::linalg_solve_ex(matrix, right_hand_side);
  if (*failures.const_data_ptr<int>() == 0) return solution;
  throw Error(ErrorCode::kUnsupported, "UniPC: the steps of this run are too uneven for its `solver_order`");
}

}  // namespace

UniPCMultistepScheduler::UniPCMultistepScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : DpmSolverScheduler(arguments,
                         {.zero_terminal_snr = ZeroTerminalSnr::kNearlyZero, .run = kTraits, .max_order = kMaxOrder}),
      predict_x0_(arguments.flag("predict_x0", true)),
      // Names of other classes are read as bh2, as in the reference.
      step_size_(arguments.choice<StepSize>("solver_type", "bh2",
                                            {{"bh1", StepSize::kBh1},
                                             {"bh2", StepSize::kBh2},
                                             {"midpoint", StepSize::kBh2},
                                             {"heun", StepSize::kBh2},
                                             {"logrho", StepSize::kBh2}})),
      disable_corrector_(read_disable_corrector(arguments)) {
  if (arguments.has("solver_p")) throw arguments.unsupported("solver_p", "easel has UniPC's own predictor alone");
  if (arguments.has("shift_terminal")) throw arguments.unsupported("shift_terminal", "it is for video models");
  if (arguments.flag("use_dynamic_shifting", false)) {
    throw arguments.unsupported("use_dynamic_shifting", "it needs a number that the models served here do not give");
  }
  if (prediction_type_ == PredictionType::kFlowPrediction && !predict_x0_) {
    throw arguments.unsupported("prediction_type", "it needs `predict_x0`");
  }
}

void UniPCMultistepScheduler::set_custom_sigmas(const std::vector<double>& sigmas) {
  check_custom_sigmas(sigmas);
  begin(run_schedule_.run_at_sigmas(schedule_, sigmas));
}

void UniPCMultistepScheduler::begin(DpmSolverSchedule::Run run) {
  // There the step is infinite in lambda, and what the weights solve is singular.
  const bool to_zero = run_schedule_.final_sigma() == FinalSigma::kZero;
  if (to_zero && !lower_order_final_ && std::min<std::size_t>(run.timesteps.size(), solver_order_) > 2) {
    throw Error(ErrorCode::kUnsupported, concat("scheduler_config.json: `solver_order` is ", solver_order_,
                                                "; above 2, a run that ends at sigma 0 needs `lower_order_final`"));
  }
  DpmSolverScheduler::begin(std::move(run));
  last_sample_ = at::Tensor();
}

Scheduler::Step UniPCMultistepScheduler::step(const at::Tensor& model_output, std::size_t step_index,
                                              const at::Tensor& predicted_sample, NoiseSource&) {
  check_step_index(step_index);
  check_step_order(step_index, steps_done_);
  check_tensors(model_output, predicted_sample);
  const auto output = converted(model_output, predicted_sample, step_index);
  const auto sample = corrects_before(step_index) ? correct(output, predicted_sample, step_index) : predicted_sample;
  auto outputs = outputs_with(output);

  const int order = order_of(step_index);
  Step result;
  result.prev_sample = predict(outputs, sample, step_index, order);
  const auto now = level(step_index);
  result.pred_original_sample = predict_x0_ ? output : (predicted_sample - now.sigma * output) / now.alpha;

  model_outputs_ = std::move(outputs);
  last_sample_ = sample;
  last_order_ = order;
  ++steps_done_;
  return result;
}

at::Tensor UniPCMultistepScheduler::converted(const at::Tensor& model_output, const at::Tensor& sample,
                                              std::size_t step_index) const {
  if (!predict_x0_) return noise_at(level(step_index), prediction_type_, model_output, sample);
  return thresholded(original_sample_at(level(step_index), prediction_type_, model_output, sample));
}

bool UniPCMultistepScheduler::corrects_before(std::size_t step_index) const {
  const auto& disabled = disable_corrector_;
  return last_sample_.defined() &&
         std::find(disabled.begin(), disabled.end(), static_cast<double>(step_index) - 1) == disabled.end();
}

int UniPCMultistepScheduler::order_of(std::size_t step_index) const {
  auto order = std::min(solver_order_, static_cast<std::int64_t>(steps_done_) + 1);
  if (lower_order_final_) order = std::min(order, static_cast<std::int64_t>(timesteps_.size() - step_index));
  return static_cast<int>(order);
}

// Equations 7 to 9 and Appendix A of the paper. `outputs` end with the one at level `from`.
UniPCMultistepScheduler::Update UniPCMultistepScheduler::update(const std::vector<at::Tensor>& outputs,
                                                                const at::Tensor& sample, std::size_t from,
                                                                int order) const {
  const auto start = level(from), end = level(from + 1);
  const auto h = end.lambda - start.lambda;
  const auto& newest = outputs.back();
  Update update;
  std::vector<at::Tensor> ratios;
  for (int i = 1; i < order; ++i) {
    const auto ratio = (level(from - static_cast<std::size_t>(i)).lambda - start.lambda) / h;
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
  if (order == 1) return u.moved - u.scale * 0;  // where the scale is infinite, as with bh1 at sigma 0, this is NaN
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

}  // namespace easel
