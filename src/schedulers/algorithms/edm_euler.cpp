#include "schedulers/algorithms/edm_euler.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/log.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "core/text.h"
#include "easel/error.h"
#include "schedulers/numerics/tensor_math.h"

namespace easel {
namespace {

double positive_or(SchedulerArguments& arguments, const char* key, double fallback) {
  const double value = arguments.number(key, fallback);
  if (value <= 0) throw arguments.corrupt(key, "expected a positive number");
  return value;
}

void check_ramp(const std::vector<double>& ramp, std::int64_t most) {
  const auto reject = [](const auto&... what) {
    throw Error(ErrorCode::kInvalidArgument, concat("sigmas: ", what...), "sigmas");
  };
  if (ramp.empty() || ramp.size() > static_cast<std::size_t>(most)) {
    reject("the list has ", ramp.size(), " numbers, expected 1 to ", most);
  }
  for (std::size_t i = 0; i < ramp.size(); ++i) {
    if (!(ramp[i] >= 0 && ramp[i] <= 1)) reject(ramp[i], " is not in 0 to 1, where EDM Euler places its sigmas");
    if (i > 0 && ramp[i] <= ramp[i - 1]) reject(ramp[i], " comes after ", ramp[i - 1], ", expected rising positions");
  }
}

}  // namespace

EDMEulerScheduler::EDMEulerScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : prediction_type_(read_prediction_type(arguments, SupportedPredictions::kEpsilonAndV)),
      sigma_spacing_(arguments.choice<SigmaSpacing>(
          "sigma_schedule", "karras",
          {{"karras", SigmaSpacing::kKarras}, {"exponential", SigmaSpacing::kExponential}})),
      sigma_min_(positive_or(arguments, "sigma_min", 0.002)),
      sigma_max_(positive_or(arguments, "sigma_max", 80.0)),
      sigma_data_(positive_or(arguments, "sigma_data", 0.5)),
      rho_(positive_or(arguments, "rho", 7.0)),
      final_sigma_(read_final_sigma(arguments)) {
  schedule_.num_train_timesteps = arguments.integer("num_train_timesteps", 1000);
}

void EDMEulerScheduler::set_timesteps(std::int64_t num_inference_steps) {
  check_num_inference_steps(num_inference_steps, schedule_);
  begin(at::linspace(0, 1, num_inference_steps, at::kDouble));
}

void EDMEulerScheduler::set_custom_sigmas(const std::vector<double>& ramp) {
  check_ramp(ramp, schedule_.num_train_timesteps);
  begin(at::tensor(ramp, at::kDouble));
}

// @param ramp  float64 [n], from 0 at the largest sigma to 1 at the smallest
void EDMEulerScheduler::begin(const at::Tensor& ramp) {
  at::Tensor sigmas;
  if (sigma_spacing_ == SigmaSpacing::kKarras) {
    const double min_inv_rho = std::pow(sigma_min_, 1 / rho_), max_inv_rho = std::pow(sigma_max_, 1 / rho_);
    sigmas = at::pow(ramp * (min_inv_rho - max_inv_rho) + max_inv_rho, rho_).to(at::kFloat);
  } else {
    sigmas = at::linspace(std::log(sigma_min_), std::log(sigma_max_), ramp.numel(), at::kFloat).exp().flip(0);
  }
  const auto timesteps = (at::log(sigmas) * 0.25).contiguous();
  const auto* first = timesteps.const_data_ptr<float>();
  timesteps_.assign(first, first + timesteps.numel());
  const auto last = final_sigma_ == FinalSigma::kZero ? at::zeros({1}, at::kFloat) : sigmas.slice(0, -1);
  sigmas_ = at::cat({sigmas, last});
}

double EDMEulerScheduler::init_noise_sigma() const {
  return std::pow(sigma_max_ * sigma_max_ + 1, 0.5);
}

at::Tensor EDMEulerScheduler::scale_model_input(const at::Tensor& sample, std::size_t step_index) const {
  check_step_index(step_index);
  return sample * one_over(square_root(square(sigma(step_index)) + sigma_data_ * sigma_data_));
}

Scheduler::Step EDMEulerScheduler::step(const at::Tensor& model_output, std::size_t step_index,
                                        const at::Tensor& half_or_float_sample, NoiseSource&) {
  check_step_index(step_index);
  check_tensors(model_output, half_or_float_sample);
  const auto sigma_from = sigma(step_index);
  const auto sample = half_or_float_sample.to(at::kFloat);
  const auto variance = square(sigma_from) + sigma_data_ * sigma_data_;
  const auto c_skip = one_over(variance) * (sigma_data_ * sigma_data_);
  const auto signed_sigma = prediction_type_ == PredictionType::kEpsilon ? sigma_from : -sigma_from;
  const auto c_out = signed_sigma * sigma_data_ / square_root(variance);
  Step result;
  result.pred_original_sample = c_skip * sample + c_out * model_output;
  const auto derivative = (sample - result.pred_original_sample) / sigma_from;
  const auto dt = sigma(step_index + 1) - sigma_from;
  result.prev_sample = (sample + derivative * dt).to(model_output.scalar_type());
  return result;
}

}  // namespace easel
