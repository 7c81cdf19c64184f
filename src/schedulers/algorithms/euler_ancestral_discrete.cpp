// Euler ancestral, after Crowson's k-diffusion.
#include "easel/noise.h"
#include "schedulers/algorithms/algorithms.h"
#include "schedulers/numerics/numpy_math.h"
#include "schedulers/numerics/tensor_math.h"
#include "schedulers/schedule/noise_schedule.h"
#include "schedulers/schedule/run.h"
#include "schedulers/schedule/sample_space.h"
#include "schedulers/schedule/sigma_schedule.h"

namespace easel {
namespace {

/// Euler's method (see EulerDiscreteScheduler) to a lower noise level than the next one, then fresh noise up to it;
/// after Crowson's k-diffusion. Numbers agree with diffusers 0.42.1, scheduling_euler_ancestral_discrete.py.
class EulerAncestralDiscreteScheduler final : public Scheduler {
 public:
  EulerAncestralDiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<EulerAncestralDiscreteScheduler>(*this); }
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
  double init_noise_sigma() const override { return initial_noise_sigma(run_.sigmas(), timestep_spacing_); }
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  NoiseSchedule schedule_;
  SigmaSpace space_;
  TimestepSpacing timestep_spacing_;
  std::int64_t steps_offset_;
  Run run_;
};

EulerAncestralDiscreteScheduler::EulerAncestralDiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : schedule_(read_noise_schedule(arguments, ZeroTerminalSnr::kNearlyZero)),
      space_{read_prediction_type(arguments, SupportedPredictions::kEpsilonAndV)},
      timestep_spacing_(read_timestep_spacing(arguments, "linspace")),
      steps_offset_(read_steps_offset(arguments, timestep_spacing_)) {}

void EulerAncestralDiscreteScheduler::set_timesteps(std::int64_t num_inference_steps) {
  check_num_inference_steps(num_inference_steps, schedule_);
  const auto spaced =
      spaced_timesteps(timestep_spacing_, num_inference_steps, schedule_.num_train_timesteps, steps_offset_);
  std::vector<float> timesteps(spaced.begin(), spaced.end());
  const auto training_sigmas = schedule_.sigmas();
  std::vector<double> sigmas;
  for (const float timestep : timesteps) sigmas.push_back(numpy::interp(timestep, training_sigmas));
  run_ = Run(std::move(timesteps), sigma_tensor(sigmas, 0.0));
}

Scheduler::Step EulerAncestralDiscreteScheduler::step(const at::Tensor& model_output, std::size_t step_index,
                                                      const at::Tensor& half_or_float_sample, NoiseSource& noise) {
  run_.check_index(step_index);
  check_tensors(model_output, half_or_float_sample);
  const auto sigma_from = run_.sigma(step_index), sigma_to = run_.sigma(step_index + 1);
  const auto sample = half_or_float_sample.to(at::kFloat);
  const auto pred_original_sample = space_.to_x0(model_output, sample, sigma_from);

  const auto sigma_up = square_root(square(sigma_to) * (square(sigma_from) - square(sigma_to)) / square(sigma_from));
  const auto sigma_down = square_root(square(sigma_to) - square(sigma_up));
  const auto derivative = (sample - pred_original_sample) / sigma_from;
  const auto moved = sample + derivative * (sigma_down - sigma_from);
  const auto prev_sample = moved + noise.normal_like(model_output) * sigma_up;
  return {prev_sample.to(model_output.scalar_type()), pred_original_sample};
}

}  // namespace

std::unique_ptr<Scheduler> make_euler_ancestral_discrete(SchedulerArguments& arguments,
                                                         const SchedulerOptions& options) {
  return std::make_unique<EulerAncestralDiscreteScheduler>(arguments, options);
}

}  // namespace easel
