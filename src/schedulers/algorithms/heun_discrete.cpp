// Heun: Karras et al. 2022 (arXiv:2206.00364).
#include <ATen/TensorOperators.h>
#include <ATen/ops/clamp.h>

#include <utility>

#include "schedulers/algorithms/algorithms.h"
#include "schedulers/schedule/k_diffusion_schedule.h"
#include "schedulers/schedule/run.h"
#include "schedulers/schedule/sample_space.h"

namespace easel {
namespace {

/// Karras et al. 2022 (arXiv:2206.00364), Alg. 2 with S_churn = 0: an Euler step, then the same step again with the
/// mean of the slopes at both ends. A run has 2 * num_inference_steps - 1 steps, because the last one, to sigma 0, is
/// an Euler step. Numbers agree with diffusers 0.42.1, scheduling_heun_discrete.py.
class HeunDiscreteScheduler final : public Scheduler {
 public:
  HeunDiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<HeunDiscreteScheduler>(*this); }
  const std::vector<float>& timesteps() const override { return run_.timesteps(); }
  void set_begin_index(std::size_t first_step) override { run_.begin_at(first_step, order()); }
  double init_noise_sigma() const override { return initial_noise_sigma(run_.sigmas(), schedule_.timestep_spacing()); }
  void set_timesteps(std::int64_t num_inference_steps) override { begin(schedule_.levels(num_inference_steps)); }
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, std::size_t step_index) const override {
    run_.check_index(step_index);
    return SigmaSpace::add_noise(original, noise, run_.sigma(second_order_level(step_index)));
  }
  std::optional<float> sigma(std::size_t step_index) const override {
    run_.check_index(step_index);
    return value_of(run_.sigma(second_order_level(step_index)));
  }
  at::Tensor scale_model_input(const at::Tensor& sample, std::size_t step_index) const override {
    run_.check_index(step_index);
    return SigmaSpace::scale_input(sample, run_.sigma(second_order_level(step_index)));
  }
  std::int64_t order() const override { return 2; }
  void set_custom_timesteps(const std::vector<double>& timesteps) override;
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  void begin(const KDiffusionSchedule::Levels& levels);

  KDiffusionSchedule schedule_;
  SigmaSpace space_;
  bool clip_sample_;
  double clip_sample_range_;
  Run run_;
  // History: the sample where the Euler step started, and the slope there.
  at::Tensor sample_;
  at::Tensor derivative_;
};

HeunDiscreteScheduler::HeunDiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : schedule_(arguments, KDiffusionClass::kHeun, {.beta_start = 0.00085, .beta_end = 0.012, .supports_exp = true}),
      space_{read_prediction_type(arguments, SupportedPredictions::kAllButFlow)},
      clip_sample_(arguments.flag("clip_sample", false)),
      clip_sample_range_(clip_sample_ ? arguments.number("clip_sample_range", 1.0) : 0.0) {}

void HeunDiscreteScheduler::set_custom_timesteps(const std::vector<double>& timesteps) {
  begin(schedule_.levels_at(timesteps));
}

void HeunDiscreteScheduler::begin(const KDiffusionSchedule::Levels& levels) {
  run_ = Run(repeat_interleaved(levels.timesteps), sigma_tensor(levels.sigmas, 0.0));
  sample_ = derivative_ = at::Tensor();
}

Scheduler::Step HeunDiscreteScheduler::step(const at::Tensor& model_output, std::size_t step_index,
                                            const at::Tensor& sample, NoiseSource&) {
  run_.check_next(step_index);
  check_tensors(model_output, sample);
  const bool corrects = step_index % 2 == 1;
  const auto sigma_from = run_.sigma(step_index / 2), sigma_to = run_.sigma(step_index / 2 + 1);
  const auto& sigma_here = corrects ? sigma_to : sigma_from;

  auto pred_original_sample = space_.to_x0(model_output, sample, sigma_here);
  if (clip_sample_) pred_original_sample = at::clamp(pred_original_sample, -clip_sample_range_, clip_sample_range_);
  const auto derivative = (sample - pred_original_sample) / sigma_here;
  const auto dt = sigma_to - sigma_from;
  Step result;
  result.pred_original_sample = std::move(pred_original_sample);
  result.prev_sample = corrects ? sample_ + (derivative_ + derivative) / 2 * dt : sample + derivative * dt;

  sample_ = corrects ? at::Tensor() : sample;
  derivative_ = corrects ? at::Tensor() : derivative;
  run_.advance();
  return result;
}

}  // namespace

std::unique_ptr<Scheduler> make_heun_discrete(SchedulerArguments& arguments, const SchedulerOptions& options) {
  return std::make_unique<HeunDiscreteScheduler>(arguments, options);
}

}  // namespace easel
