#include "schedulers/algorithms/deis_multistep.h"

#include <ATen/ops/exp.h>
#include <ATen/ops/scalar_tensor.h>

#include <algorithm>
#include <span>

#include "schedulers/numerics/numpy_math.h"
#include "schedulers/numerics/tensor_math.h"

namespace easel {
namespace {

// A noise-to-signal ratio and its logarithm, float32 as in the reference.
struct Rho {
  float value, log;
};

Rho rho_of(const NoiseLevel& level) {
  const float value = *(level.sigma / level.alpha).const_data_ptr<float>();
  return {value, numpy::log(value)};
}

// Antiderivatives at t of Lagrange's basis polynomials in log(rho): 1 at b, 0 at the others.
float integral(Rho t, Rho b, Rho c) {
  return t.value * (-c.log + t.log - 1) / (b.log - c.log);
}
float integral(Rho t, Rho b, Rho c, Rho d) {
  const float numerator =
      t.value * (c.log * (d.log - t.log + 1) - d.log * t.log + d.log + t.log * t.log - 2 * t.log + 2);
  return numerator / ((b.log - c.log) * (b.log - d.log));
}

// Weights of the model outputs in the step to `to`. @param from  levels visited, the newest first: two or three
std::vector<float> weights(Rho to, std::span<const Rho> from) {
  std::vector<float> weights;
  for (std::size_t i = 0; i < from.size(); ++i) {
    const auto& b = from[i];
    const auto& c = from[(i + 1) % from.size()];
    const auto& d = from[(i + 2) % from.size()];
    weights.push_back(from.size() == 2 ? integral(to, b, c) - integral(from[0], b, c)
                                       : integral(to, b, c, d) - integral(from[0], b, c, d));
  }
  return weights;
}

}  // namespace

DEISMultistepScheduler::DEISMultistepScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : DpmSolverScheduler(arguments, {.run = {.clips_lambda = false,
                                             .has_lu_lambdas = false,
                                             .has_final_sigmas_type = false,
                                             .ends_at_own_sigma = true,
                                             .rounds_cosine_timesteps = true}}) {
  // There is one algorithm and one solver; the reference reads the names of some other classes' as them.
  arguments.choice<bool>("algorithm_type", "deis", {{"deis", true}, {"dpmsolver", true}, {"dpmsolver++", true}});
  arguments.choice<bool>("solver_type", "logrho",
                         {{"logrho", true}, {"midpoint", true}, {"heun", true}, {"bh1", true}, {"bh2", true}});
}

Scheduler::Step DEISMultistepScheduler::step(const at::Tensor& model_output, std::size_t step_index,
                                             const at::Tensor& sample, NoiseSource&) {
  check_step_index(step_index);
  check_step_order(step_index, steps_done_);
  check_tensors(model_output, sample);
  const auto now = level(step_index);
  Step result;
  result.pred_original_sample = thresholded(original_sample_at(now, prediction_type_, model_output, sample));
  // The reference divides by the run's sigma where the model predicts a flow.
  const auto& sigma = prediction_type_ == PredictionType::kFlowPrediction ? now.run_sigma : now.sigma;
  auto outputs = outputs_with((sample - now.alpha * result.pred_original_sample) / sigma);
  result.prev_sample = prev_sample(outputs, sample, step_index);

  model_outputs_ = std::move(outputs);
  ++steps_done_;
  return result;
}

int DEISMultistepScheduler::order_of(std::size_t step_index) const {
  auto order = std::min(solver_order_, static_cast<std::int64_t>(steps_done_) + 1);
  if (lower_order_final_ && timesteps_.size() < kLowerOrderFinalSteps) {
    order = std::min(order, static_cast<std::int64_t>(timesteps_.size() - step_index));
  }
  return static_cast<int>(order);
}

at::Tensor DEISMultistepScheduler::prev_sample(const std::vector<at::Tensor>& outputs, const at::Tensor& sample,
                                               std::size_t step_index) const {
  const int order = order_of(step_index);
  const auto from = level(step_index), to = level(step_index + 1);
  if (order == 1) {
    const auto h = to.lambda - from.lambda;
    return to.alpha / from.alpha * sample - to.sigma * (at::exp(h) - 1) * outputs.back();
  }
  std::vector<Rho> visited;
  for (int i = 0; i < order; ++i) visited.push_back(rho_of(level(step_index - static_cast<std::size_t>(i))));
  auto sum = sample / from.alpha;
  const auto coefficients = weights(rho_of(to), visited);
  for (std::size_t i = 0; i < coefficients.size(); ++i) {
    sum = sum + at::scalar_tensor(coefficients[i], at::kFloat) * outputs[outputs.size() - 1 - i];
  }
  return to.alpha * sum;
}

}  // namespace easel
