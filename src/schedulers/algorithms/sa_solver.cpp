// SA-Solver: Xue et al. 2023 (arXiv:2309.05019).
#include <ATen/ops/exp.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/sqrt.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>

#include "core/text.h"
#include "easel/noise.h"
#include "schedulers/algorithms/algorithms.h"
#include "schedulers/algorithms/dpmsolver.h"
#include "schedulers/numerics/tensor_math.h"

namespace easel {
namespace {

constexpr int kSaMaxOrder = 4;

// tau(t) of the paper, with the reference's default: noise is added between these timesteps only.
int sa_tau(float timestep) {
  return timestep >= 200 && timestep <= 800 ? 1 : 0;
}

// The antiderivative of exp(x) x^order, divided by exp(x), for sign -1; that of exp(-x) x^order, divided by -exp(-x),
// for sign 1. @param order  1 to 3
at::Tensor exponential_polynomial(int order, const at::Tensor& x, int sign) {
  if (order == 1) return x + sign;
  if (order == 2) return square(x) + x * (2 * sign) + 2;
  return at::pow(x, 3) + square(x) * (3 * sign) + x * 6 + 6 * sign;
}

// Integral of exp(-x) x^order.
at::Tensor negative_exponential_integral(int order, const at::Tensor& start, const at::Tensor& end) {
  const auto grown = at::exp(end - start);
  if (order == 0) return at::exp(-end) * (grown - 1);
  return at::exp(-end) * (exponential_polynomial(order, start, 1) * grown - exponential_polynomial(order, end, 1));
}

// Integral of exp((1 + tau^2) x) x^order. @param factor  1 + tau^2
at::Tensor positive_exponential_integral(int order, const at::Tensor& start, const at::Tensor& end, int factor) {
  const auto from = start * factor, to = end * factor;
  const auto decayed = at::exp(-(to - from));
  const auto inside = order == 0
                          ? one_minus(decayed)
                          : exponential_polynomial(order, to, -1) - exponential_polynomial(order, from, -1) * decayed;
  return at::exp(to) * inside / static_cast<std::int64_t>(std::pow(factor, order + 1));
}

// The coefficients of the Lagrange polynomial that is 1 at lambdas[i] and 0 at the others, highest power first.
std::vector<at::Tensor> lagrange_coefficients(const std::vector<at::Tensor>& lambdas, std::size_t i) {
  std::vector<at::Tensor> others;
  at::Tensor denominator;
  for (std::size_t k = 0; k < lambdas.size(); ++k) {
    if (k == i) continue;
    others.push_back(lambdas[k]);
    const auto difference = lambdas[i] - lambdas[k];
    denominator = denominator.defined() ? denominator * difference : difference;
  }
  std::vector<at::Tensor> coefficients = {one_over(denominator)};
  auto negated_sum = -others[0], product = others[0];
  for (std::size_t k = 1; k < others.size(); ++k) {
    negated_sum = negated_sum - others[k];
    product = product * others[k];
  }
  coefficients.push_back(negated_sum / denominator);
  if (others.size() == 2) coefficients.push_back(product / denominator);
  if (others.size() == 3) {
    const auto pairs = others[0] * others[1] + others[0] * others[2] + others[1] * others[2];
    coefficients.push_back(pairs / denominator);
    coefficients.push_back(-others[0] * others[1] * others[2] / denominator);
  }
  return coefficients;
}

/// Xue et al. 2023 (arXiv:2309.05019): stochastic Adams methods, a predictor and a corrector of orders 1 to 4. Every
/// step draws noise; between the timesteps 200 and 800 it is also used. Numbers agree with diffusers 0.42.1,
/// scheduling_sasolver.py, with its default `tau_func`.
class SASolverScheduler final : public Scheduler {
 public:
  SASolverScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<SASolverScheduler>(*this); }
  const std::vector<float>& timesteps() const override { return run_.timesteps(); }
  void set_begin_index(std::size_t first_step) override { run_.begin_at(first_step, order()); }
  void set_timesteps(std::int64_t num_inference_steps) override;
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, std::size_t step_index) const override;
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  // From a noise level to the next.
  struct Interval {
    NoiseLevel start, end;
    std::vector<at::Tensor> lambdas;  // of the model outputs that are used, the newest first
    int tau;
  };

  NoiseLevel level(std::size_t index) const { return noise_level(run_.sigma(index), schedule_.uses_flow_sigmas()); }
  std::vector<at::Tensor> gradient_coefficients(const Interval& interval) const;
  // @param outputs  the newest last
  at::Tensor integrate(const Interval& interval, const std::vector<at::Tensor>& coefficients,
                       const std::vector<at::Tensor>& outputs, const at::Tensor& sample, const at::Tensor& noise) const;
  at::Tensor predict(const std::vector<at::Tensor>& outputs, const at::Tensor& sample, const at::Tensor& noise,
                     std::size_t step_index, int order) const;
  at::Tensor correct(const at::Tensor& output, std::size_t step_index) const;
  at::Tensor converted(const at::Tensor& model_output, const at::Tensor& sample, const NoiseLevel& now) const;

  DpmSolverSchedule schedule_;
  PredictionType prediction_type_;
  DynamicThresholding thresholding_;
  bool predict_x0_;
  bool lower_order_final_;
  bool learned_variance_;
  int predictor_order_, corrector_order_;
  Run run_;
  // History.
  std::vector<at::Tensor> model_outputs_;  // x0 or noise, as predict_x0_ says; the newest last
  at::Tensor last_sample_;                 // where the last step started, corrected
  at::Tensor last_noise_;                  // that it drew
  int next_corrector_order_ = 0;
};

int read_sa_order(SchedulerArguments& arguments, const char* key) {
  const auto order = arguments.integer(key, 2);
  if (order < 1 || order > kSaMaxOrder) throw arguments.unsupported(key, concat("expected 1 to ", kSaMaxOrder));
  return static_cast<int>(order);
}

SASolverScheduler::SASolverScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : schedule_(arguments, DpmSolverClass::kSaSolver),
      prediction_type_(read_prediction_type(arguments, SupportedPredictions::kAll)),
      thresholding_(arguments),
      predict_x0_(arguments.choice<bool>("algorithm_type", "data_prediction",
                                         {{"data_prediction", true}, {"noise_prediction", false}})),
      lower_order_final_(arguments.flag("lower_order_final", true)),
      learned_variance_(reads_learned_variance(arguments, prediction_type_)),
      predictor_order_(read_sa_order(arguments, "predictor_order")),
      corrector_order_(read_sa_order(arguments, "corrector_order")) {
  if (arguments.has("tau_func")) throw arguments.unsupported("tau_func", "easel supports only the default");
  if (!predict_x0_ && prediction_type_ == PredictionType::kFlowPrediction) {
    throw arguments.unsupported("prediction_type", "it needs `algorithm_type` data_prediction");
  }
  if (!predict_x0_ && thresholding_.enabled()) {
    throw arguments.unsupported("thresholding", "it needs `algorithm_type` data_prediction");
  }
  if (learned_variance_) throw arguments.unsupported("variance_type", "SA-Solver draws noise for the variances, too");
}

void SASolverScheduler::set_timesteps(std::int64_t num_inference_steps) {
  run_ = schedule_.run(num_inference_steps);
  model_outputs_.clear();
  last_sample_ = last_noise_ = at::Tensor();
}

at::Tensor SASolverScheduler::add_noise(const at::Tensor& original, const at::Tensor& noise,
                                        std::size_t step_index) const {
  run_.check_index(step_index);
  return schedule_.training().add_noise(original, noise, static_cast<std::int64_t>(timesteps()[step_index]));
}

Scheduler::Step SASolverScheduler::step(const at::Tensor& model_output, std::size_t step_index,
                                        const at::Tensor& predicted_sample, NoiseSource& noise) {
  run_.check_next(step_index);
  check_tensors(model_output, predicted_sample);
  const auto now = level(step_index);
  const auto output = converted(model_output, predicted_sample, now);
  const auto sample = last_sample_.defined() ? correct(output, step_index) : predicted_sample;

  auto outputs = model_outputs_;
  outputs.push_back(output);
  const auto kept = static_cast<std::size_t>(std::max(predictor_order_, corrector_order_ - 1));
  if (outputs.size() > kept) outputs.erase(outputs.begin());

  const auto drawn = noise.normal_like(model_output);
  const auto left = static_cast<int>(run_.size() - step_index), done = static_cast<int>(run_.steps_done());
  const auto available = std::min(done, static_cast<int>(kept));
  int predictor = predictor_order_, corrector = corrector_order_;
  if (lower_order_final_) {
    predictor = std::min(predictor, left);
    corrector = std::min(corrector, left + 1);
  }
  predictor = std::min(predictor, available + 1);
  corrector = std::min(corrector, available + 2);

  Step result;
  result.prev_sample = predict(outputs, sample, drawn, step_index, predictor);
  result.pred_original_sample = predict_x0_ ? output : (predicted_sample - now.sigma * output) / now.alpha;
  model_outputs_ = std::move(outputs);
  last_sample_ = sample;
  last_noise_ = drawn;
  next_corrector_order_ = corrector;
  run_.advance();
  return result;
}

at::Tensor SASolverScheduler::converted(const at::Tensor& model_output, const at::Tensor& sample,
                                        const NoiseLevel& now) const {
  if (!predict_x0_) return noise_at(now, prediction_type_, model_output, sample);
  const auto x0 = original_sample_at(now, prediction_type_, model_output, sample);
  return thresholding_.enabled() ? thresholding_(x0) : x0;
}

std::vector<at::Tensor> SASolverScheduler::gradient_coefficients(const Interval& interval) const {
  const auto order = static_cast<int>(interval.lambdas.size()), factor = 1 + interval.tau * interval.tau;
  const auto integral = [&](int power) {
    return predict_x0_ ? positive_exponential_integral(power, interval.start.lambda, interval.end.lambda, factor)
                       : negative_exponential_integral(power, interval.start.lambda, interval.end.lambda);
  };
  if (order == 1) return {integral(0)};
  std::vector<at::Tensor> coefficients;
  for (std::size_t i = 0; i < interval.lambdas.size(); ++i) {
    const auto lagrange = lagrange_coefficients(interval.lambdas, i);
    auto coefficient = lagrange[0] * integral(order - 1);
    for (int j = 1; j < order; ++j) {
      coefficient = coefficient + lagrange[static_cast<std::size_t>(j)] * integral(order - 1 - j);
    }
    coefficients.push_back(coefficient);
  }
  return coefficients;
}

at::Tensor SASolverScheduler::integrate(const Interval& interval, const std::vector<at::Tensor>& coefficients,
                                        const std::vector<at::Tensor>& outputs, const at::Tensor& sample,
                                        const at::Tensor& noise) const {
  const auto& [start, end, lambdas, tau] = interval;
  const int tau_squared = tau * tau, factor = 1 + tau_squared;
  const auto h = end.lambda - start.lambda;
  const auto gradient = at::zeros_like(sample);
  for (std::size_t i = 0; i < coefficients.size(); ++i) {
    const auto& output = outputs[outputs.size() - 1 - i];
    if (predict_x0_) {
      gradient.add_(end.sigma * factor * at::exp(end.lambda * -tau_squared) * coefficients[i] * output);
    } else {
      gradient.add_(end.alpha * -factor * coefficients[i] * output);
    }
  }
  const auto spread = predict_x0_ ? end.sigma * at::sqrt(one_minus(at::exp(h * (-2 * tau_squared))))
                                  : end.sigma * tau * at::sqrt(at::exp(h * 2) - 1);
  const auto kept = predict_x0_ ? at::exp(h * -tau_squared) * (end.sigma / start.sigma) : end.alpha / start.alpha;
  return (kept * sample + gradient + spread * noise).to(sample.scalar_type());
}

at::Tensor SASolverScheduler::predict(const std::vector<at::Tensor>& outputs, const at::Tensor& sample,
                                      const at::Tensor& noise, std::size_t step_index, int order) const {
  Interval interval{
      .start = level(step_index), .end = level(step_index + 1), .lambdas = {}, .tau = sa_tau(timesteps()[step_index])};
  for (int i = 0; i < order; ++i) interval.lambdas.push_back(level(step_index - static_cast<std::size_t>(i)).lambda);
  auto coefficients = gradient_coefficients(interval);
  // The second orders move some weight between the two outputs, as the reference does for runs of few steps.
  if (predict_x0_ && order == 2) {
    const int factor = 1 + interval.tau * interval.tau;
    const auto h = interval.end.lambda - interval.start.lambda;
    const auto phi = h * factor - 1 + at::exp(-h * factor);
    const auto added = at::exp(interval.end.lambda * factor) * (square(h) / 2 - phi / (factor * factor)) /
                       (interval.start.lambda - interval.lambdas[1]);
    coefficients[0] = coefficients[0] + added;
    coefficients[1] = coefficients[1] - added;
  }
  return integrate(interval, coefficients, outputs, sample, noise);
}

at::Tensor SASolverScheduler::correct(const at::Tensor& output, std::size_t step_index) const {
  Interval interval{.start = level(step_index - 1),
                    .end = level(step_index),
                    .lambdas = {},
                    .tau = sa_tau(timesteps()[step_index - 1])};
  for (int i = 0; i < next_corrector_order_; ++i) {
    interval.lambdas.push_back(level(step_index - static_cast<std::size_t>(i)).lambda);
  }
  auto coefficients = gradient_coefficients(interval);
  if (predict_x0_ && next_corrector_order_ == 2) {
    const int factor = 1 + interval.tau * interval.tau;
    const auto h = interval.end.lambda - interval.start.lambda;
    const auto phi = h * factor - 1 + at::exp(-h * factor);
    const auto added = at::exp(interval.end.lambda * factor) * (h / 2 - phi / (h * (factor * factor)));
    coefficients[0] = coefficients[0] + added;
    coefficients[1] = coefficients[1] - added;
  }
  auto outputs = model_outputs_;
  outputs.push_back(output);
  return integrate(interval, coefficients, outputs, last_sample_, last_noise_);
}

}  // namespace

std::unique_ptr<Scheduler> make_sa_solver(SchedulerArguments& arguments, const SchedulerOptions& options) {
  return std::make_unique<SASolverScheduler>(arguments, options);
}

}  // namespace easel
