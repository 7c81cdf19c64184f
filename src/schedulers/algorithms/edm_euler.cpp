// EDM Euler: Karras et al. 2022 (arXiv:2206.00364), Table 1.
#include <ATen/ops/cat.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/log.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "core/text.h"
#include "easel/error.h"
#include "schedulers/algorithms/algorithms.h"
#include "schedulers/numerics/tensor_math.h"
#include "schedulers/schedule/noise_schedule.h"
#include "schedulers/schedule/run.h"
#include "schedulers/schedule/sample_space.h"
#include "schedulers/schedule/scheduler_arguments.h"
#include "schedulers/schedule/sigma_schedule.h"

namespace easel {
namespace {

double positive_number(SchedulerArguments& arguments, const char* key, double fallback) {
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
    if (!(ramp[i] >= 0 && ramp[i] <= 1))
      reject(ramp[i], " is not in 0 to 1, the range of positions that EDM Euler expects here");
    if (i > 0 && ramp[i] <= ramp[i - 1]) reject(ramp[i], " comes after ", ramp[i - 1], ", expected rising positions");
  }
}

/// Karras et al. 2022 (arXiv:2206.00364), Euler's method with the preconditioning of their Table 1: for models trained
/// in this way (Playground 2.5). The model is given log(sigma) / 4 as its timestep. It keeps no history, so steps may
/// be taken in any order. Arithmetic on a half sample is float32. Numbers agree with diffusers 0.42.1,
/// scheduling_edm_euler.py.
class EDMEulerScheduler final : public Scheduler {
 public:
  EDMEulerScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<EDMEulerScheduler>(*this); }
  const std::vector<float>& timesteps() const override { return run_.timesteps(); }
  void set_begin_index(std::size_t first_step) override { run_.begin_at(first_step, order()); }
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, std::size_t step_index) const override {
    run_.check_index(step_index);
    return SigmaSpace::add_noise(original, noise, run_.sigma(step_index));
  }
  std::optional<float> sigma(std::size_t step_index) const override {
    run_.check_index(step_index);
    return value_of(run_.sigma(step_index));
  }
  void set_timesteps(std::int64_t num_inference_steps) override;
  /// @param sigmas  positions on the way from the largest to the smallest sigma, 0 to 1 and rising; with exponential
  ///                sigmas only their number makes a difference, as in the reference
  void set_custom_sigmas(const std::vector<double>& sigmas) override;
  double init_noise_sigma() const override;
  at::Tensor scale_model_input(const at::Tensor& sample, std::size_t step_index) const override;
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  void begin(const at::Tensor& ramp);

  NoiseSchedule schedule_;  // only its length is used
  PredictionType prediction_type_;
  SigmaSpacing sigma_spacing_;
  double sigma_min_;
  double sigma_max_;
  double sigma_data_;  // standard deviation of the latents that the model was trained on
  double rho_;
  FinalSigma final_sigma_;
  Run run_;
};

EDMEulerScheduler::EDMEulerScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : prediction_type_(read_prediction_type(arguments, SupportedPredictions::kEpsilonAndV)),
      sigma_spacing_(arguments.choice<SigmaSpacing>(
          "sigma_schedule", "karras",
          {{"karras", SigmaSpacing::kKarras}, {"exponential", SigmaSpacing::kExponential}})),
      sigma_min_(positive_number(arguments, "sigma_min", 0.002)),
      sigma_max_(positive_number(arguments, "sigma_max", 80.0)),
      sigma_data_(positive_number(arguments, "sigma_data", 0.5)),
      rho_(positive_number(arguments, "rho", 7.0)),
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
  const auto last = final_sigma_ == FinalSigma::kZero ? at::zeros({1}, at::kFloat) : sigmas.slice(0, -1);
  run_ = Run({first, first + timesteps.numel()}, at::cat({sigmas, last}));
}

double EDMEulerScheduler::init_noise_sigma() const {
  return std::pow(sigma_max_ * sigma_max_ + 1, 0.5);
}

at::Tensor EDMEulerScheduler::scale_model_input(const at::Tensor& sample, std::size_t step_index) const {
  run_.check_index(step_index);
  return sample * one_over(square_root(square(run_.sigma(step_index)) + sigma_data_ * sigma_data_));
}

Scheduler::Step EDMEulerScheduler::step(const at::Tensor& model_output, std::size_t step_index,
                                        const at::Tensor& half_or_float_sample, NoiseSource&) {
  run_.check_index(step_index);
  check_tensors(model_output, half_or_float_sample);
  const auto sigma_from = run_.sigma(step_index);
  const auto sample = half_or_float_sample.to(at::kFloat);
  const auto variance = square(sigma_from) + sigma_data_ * sigma_data_;
  const auto c_skip = one_over(variance) * (sigma_data_ * sigma_data_);
  const auto signed_sigma = prediction_type_ == PredictionType::kEpsilon ? sigma_from : -sigma_from;
  const auto c_out = signed_sigma * sigma_data_ / square_root(variance);
  Step result;
  result.pred_original_sample = c_skip * sample + c_out * model_output;
  const auto derivative = (sample - result.pred_original_sample) / sigma_from;
  const auto dt = run_.sigma(step_index + 1) - sigma_from;
  result.prev_sample = (sample + derivative * dt).to(model_output.scalar_type());
  return result;
}

}  // namespace

std::unique_ptr<Scheduler> make_edm_euler(SchedulerArguments& arguments, const SchedulerOptions& options) {
  return std::make_unique<EDMEulerScheduler>(arguments, options);
}

}  // namespace easel
