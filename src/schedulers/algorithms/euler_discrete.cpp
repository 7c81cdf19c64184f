// Euler: Karras et al. 2022 (arXiv:2206.00364).
#include <ATen/TensorOperators.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/log.h>

#include "easel/error.h"
#include "schedulers/algorithms/algorithms.h"
#include "schedulers/numerics/numpy_math.h"
#include "schedulers/schedule/noise_schedule.h"
#include "schedulers/schedule/run.h"
#include "schedulers/schedule/sample_space.h"
#include "schedulers/schedule/sigma_schedule.h"

namespace easel {
namespace {

/// Karras et al. 2022 (arXiv:2206.00364), Alg. 2 with S_churn = 0, first order. It keeps no history, so steps may be
/// taken in any order. Arithmetic on a half sample is float32. Numbers agree with diffusers 0.42.1,
/// scheduling_euler_discrete.py.
class EulerDiscreteScheduler final : public Scheduler {
 public:
  EulerDiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<EulerDiscreteScheduler>(*this); }
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
  at::Tensor scale_model_input(const at::Tensor& sample, std::size_t step_index) const override {
    run_.check_index(step_index);
    return SigmaSpace::scale_input(sample, run_.sigma(step_index));
  }
  void set_timesteps(std::int64_t num_inference_steps) override;
  void set_custom_timesteps(const std::vector<double>& timesteps) override;
  void set_custom_sigmas(const std::vector<double>& sigmas) override;
  double init_noise_sigma() const override { return initial_noise_sigma(run_.sigmas(), timestep_spacing_); }
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  enum class Interpolation { kLinear, kLogLinear };  // between training sigmas; `interpolation_type`

  void begin_at(std::vector<float> timesteps, std::int64_t num_inference_steps);
  void begin(std::vector<float> timesteps, const at::Tensor& sigmas);
  std::vector<double> interpolated_sigmas(const std::vector<float>& timesteps, std::span<const float> training_sigmas,
                                          std::int64_t num_inference_steps) const;

  NoiseSchedule schedule_;
  SigmaSpace space_;
  Interpolation interpolation_;
  SigmaSpacing sigma_spacing_;
  SigmaRange sigma_range_;
  TimestepSpacing timestep_spacing_;
  bool continuous_timesteps_;  // the model is given log(sigma) / 4 as its timestep
  std::int64_t steps_offset_;
  FinalSigma final_sigma_;
  Run run_;
};

EulerDiscreteScheduler::EulerDiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : schedule_(read_noise_schedule(arguments, ZeroTerminalSnr::kNearlyZero)),
      space_{arguments.is("prediction_type", "original_sample")
                 ? PredictionType::kSample
                 : read_prediction_type(arguments, SupportedPredictions::kAllButFlow)},
      interpolation_(arguments.choice<Interpolation>(
          "interpolation_type", "linear",
          {{"linear", Interpolation::kLinear}, {"log_linear", Interpolation::kLogLinear}})),
      sigma_spacing_(read_sigma_spacing(arguments)),
      sigma_range_(sigma_spacing_ == SigmaSpacing::kTraining ? SigmaRange{} : read_sigma_range(arguments)),
      timestep_spacing_(read_timestep_spacing(arguments, "linspace")),
      continuous_timesteps_(
          space_.prediction_type == PredictionType::kVPrediction &&
          arguments.choice<bool>("timestep_type", "discrete", {{"discrete", false}, {"continuous", true}})),
      steps_offset_(read_steps_offset(arguments, timestep_spacing_)),
      final_sigma_(read_final_sigma(arguments)) {}

void EulerDiscreteScheduler::set_timesteps(std::int64_t num_inference_steps) {
  check_num_inference_steps(num_inference_steps, schedule_);
  const auto spaced =
      spaced_timesteps(timestep_spacing_, num_inference_steps, schedule_.num_train_timesteps, steps_offset_);
  begin_at({spaced.begin(), spaced.end()}, num_inference_steps);
}

void EulerDiscreteScheduler::set_custom_timesteps(const std::vector<double>& timesteps) {
  check_custom_timesteps(timesteps, schedule_);
  require_training_sigmas(sigma_spacing_);
  if (continuous_timesteps_) {
    throw Error(ErrorCode::kUnsupported, "custom timesteps cannot be combined with `timestep_type` continuous",
                "timesteps");
  }
  begin_at({timesteps.begin(), timesteps.end()}, static_cast<std::int64_t>(timesteps.size()));
}

void EulerDiscreteScheduler::set_custom_sigmas(const std::vector<double>& sigmas) {
  check_custom_sigmas(sigmas);
  if (sigmas.size() < 2 || sigmas[sigmas.size() - 2] == 0) {
    throw Error(ErrorCode::kInvalidArgument, "sigmas: expected at least one positive sigma, followed by the last one",
                "sigmas");
  }
  const auto log_sigmas = log_of(schedule_.sigmas());
  std::vector<float> timesteps;
  for (std::size_t i = 0; i + 1 < sigmas.size(); ++i) {
    const auto timestep = array_sigma_to_timestep(static_cast<float>(sigmas[i]), log_sigmas);
    timesteps.push_back(static_cast<float>(timestep));
  }
  begin(std::move(timesteps), sigma_tensor({sigmas.begin(), sigmas.end() - 1}, sigmas.back()));
}

void EulerDiscreteScheduler::begin_at(std::vector<float> timesteps, std::int64_t num_inference_steps) {
  const auto training_sigmas = schedule_.sigmas();
  auto sigmas = interpolated_sigmas(timesteps, training_sigmas, num_inference_steps);
  if (sigma_spacing_ != SigmaSpacing::kTraining) {
    sigmas = respaced_sigmas(sigma_spacing_, sigma_range_.sigma_max.value_or(sigmas.front()),
                             sigma_range_.sigma_min.value_or(sigmas.back()), num_inference_steps);
    const auto respaced = sigmas_to_timesteps(sigmas, log_of(training_sigmas));
    timesteps.assign(respaced.begin(), respaced.end());
  }
  begin(std::move(timesteps), sigma_tensor(sigmas, final_sigma_ == FinalSigma::kZero ? 0.0 : training_sigmas.front()));
}

void EulerDiscreteScheduler::begin(std::vector<float> timesteps, const at::Tensor& sigmas) {
  if (continuous_timesteps_) {
    timesteps.clear();
    for (std::int64_t i = 0; i + 1 < sigmas.size(0); ++i) {
      // One at a time, as in the reference.
      timesteps.push_back(*(at::log(sigmas.select(0, i)) * 0.25).const_data_ptr<float>());
    }
  }
  run_ = Run(std::move(timesteps), sigmas);
}

std::vector<double> EulerDiscreteScheduler::interpolated_sigmas(const std::vector<float>& timesteps,
                                                                std::span<const float> training_sigmas,
                                                                std::int64_t num_inference_steps) const {
  std::vector<double> sigmas;
  if (interpolation_ == Interpolation::kLinear) {
    for (const float timestep : timesteps) sigmas.push_back(numpy::interp(timestep, training_sigmas));
    return sigmas;
  }
  // As in the reference, there is one sigma more than there are steps, so final_sigmas_type has no effect.
  const auto even = at::linspace(numpy::log(training_sigmas.back()), numpy::log(training_sigmas.front()),
                                 num_inference_steps + 1, at::kFloat)
                        .exp();
  const auto* first = even.const_data_ptr<float>();
  sigmas.assign(first, first + even.numel());
  return sigmas;
}

Scheduler::Step EulerDiscreteScheduler::step(const at::Tensor& model_output, std::size_t step_index,
                                             const at::Tensor& half_or_float_sample, NoiseSource&) {
  run_.check_index(step_index);
  check_tensors(model_output, half_or_float_sample);
  const auto sigma_from = run_.sigma(step_index);
  const auto sample = half_or_float_sample.to(at::kFloat);
  const auto pred_original_sample = space_.to_x0(model_output, sample, sigma_from);
  const auto derivative = (sample - pred_original_sample) / sigma_from;
  const auto dt = run_.sigma(step_index + 1) - sigma_from;
  return {(sample + derivative * dt).to(model_output.scalar_type()), pred_original_sample};
}

}  // namespace

std::unique_ptr<Scheduler> make_euler_discrete(SchedulerArguments& arguments, const SchedulerOptions& options) {
  return std::make_unique<EulerDiscreteScheduler>(arguments, options);
}

}  // namespace easel
