// DEIS: Zhang and Chen 2022 (arXiv:2204.13902).
#include <ATen/TensorOperators.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/scalar_tensor.h>

#include <algorithm>
#include <span>

#include "schedulers/algorithms/algorithms.h"
#include "schedulers/algorithms/dpmsolver.h"
#include "schedulers/numerics/numpy_math.h"

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

// Weights of the model outputs in the step to `to`. @param from  two or three visited levels, the newest first
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

/// Zhang and Chen 2022 (arXiv:2204.13902), log-rho multistep, orders 1 to 3. A run ends at the smallest sigma of
/// training rather than at 0. Numbers agree with diffusers 0.42.1, scheduling_deis_multistep.py.
class DEISMultistepScheduler final : public Scheduler {
 public:
  DEISMultistepScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<DEISMultistepScheduler>(*this); }
  const std::vector<float>& timesteps() const override { return run_.timesteps(); }
  void set_begin_index(std::size_t first_step) override { run_.begin_at(first_step, order()); }
  void set_timesteps(std::int64_t num_inference_steps) override { begin(settings_.schedule.run(num_inference_steps)); }
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, std::size_t step_index) const override {
    return settings_.add_noise(run_, original, noise, step_index);
  }
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  void begin(Run run) {
    run_ = std::move(run);
    model_outputs_.clear();
  }
  int order_of(std::size_t step_index) const;
  at::Tensor prev_sample(const std::vector<at::Tensor>& outputs, const at::Tensor& sample,
                         std::size_t step_index) const;

  DpmSolverSettings settings_;
  Run run_;
  std::vector<at::Tensor> model_outputs_;  // history: the noise that each output means, the newest last
};

DEISMultistepScheduler::DEISMultistepScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : settings_(arguments, DpmSolverClass::kDeis) {
  // There is only one algorithm and one solver; as in the reference, the names that other classes use mean the same.
  arguments.choice<bool>("algorithm_type", "deis", {{"deis", true}, {"dpmsolver", true}, {"dpmsolver++", true}});
  arguments.choice<bool>("solver_type", "logrho",
                         {{"logrho", true}, {"midpoint", true}, {"heun", true}, {"bh1", true}, {"bh2", true}});
}

Scheduler::Step DEISMultistepScheduler::step(const at::Tensor& model_output, std::size_t step_index,
                                             const at::Tensor& sample, NoiseSource&) {
  run_.check_next(step_index);
  check_tensors(model_output, sample);
  const auto now = settings_.level(run_, step_index);
  Step result;
  result.pred_original_sample =
      settings_.thresholded(original_sample_at(now, settings_.prediction_type, model_output, sample));
  // The reference divides by the run's sigma when the model predicts a flow.
  const auto& sigma = settings_.prediction_type == PredictionType::kFlowPrediction ? now.run_sigma : now.sigma;
  auto outputs = settings_.append(model_outputs_, (sample - now.alpha * result.pred_original_sample) / sigma);
  result.prev_sample = prev_sample(outputs, sample, step_index);

  model_outputs_ = std::move(outputs);
  run_.advance();
  return result;
}

int DEISMultistepScheduler::order_of(std::size_t step_index) const {
  auto order = settings_.available_order(run_.steps_done());
  if (settings_.lower_order_final && run_.size() < kLowerOrderFinalSteps) {
    order = std::min(order, static_cast<std::int64_t>(run_.size() - step_index));
  }
  return static_cast<int>(order);
}

at::Tensor DEISMultistepScheduler::prev_sample(const std::vector<at::Tensor>& outputs, const at::Tensor& sample,
                                               std::size_t step_index) const {
  const int order = order_of(step_index);
  const auto from = settings_.level(run_, step_index), to = settings_.level(run_, step_index + 1);
  if (order == 1) {
    const auto h = to.lambda - from.lambda;
    return to.alpha / from.alpha * sample - to.sigma * (at::exp(h) - 1) * outputs.back();
  }
  std::vector<Rho> visited;
  for (int i = 0; i < order; ++i)
    visited.push_back(rho_of(settings_.level(run_, step_index - static_cast<std::size_t>(i))));
  auto sum = sample / from.alpha;
  const auto coefficients = weights(rho_of(to), visited);
  for (std::size_t i = 0; i < coefficients.size(); ++i) {
    sum = sum + at::scalar_tensor(coefficients[i], at::kFloat) * outputs[outputs.size() - 1 - i];
  }
  return to.alpha * sum;
}

}  // namespace

std::unique_ptr<Scheduler> make_deis_multistep(SchedulerArguments& arguments, const SchedulerOptions& options) {
  return std::make_unique<DEISMultistepScheduler>(arguments, options);
}

}  // namespace easel
