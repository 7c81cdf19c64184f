// DPM2 ancestral, after Crowson's k-diffusion.
#include <ATen/ops/exp.h>
#include <ATen/ops/lerp.h>
#include <ATen/ops/log.h>
#include <ATen/ops/roll.h>

#include "easel/noise.h"
#include "schedulers/algorithms/algorithms.h"
#include "schedulers/numerics/tensor_math.h"
#include "schedulers/schedule/k_diffusion_schedule.h"
#include "schedulers/schedule/run.h"
#include "schedulers/schedule/sample_space.h"

namespace easel {
namespace {

/// DPM2 (see KDPM2DiscreteScheduler) to a lower noise level than the next one, then fresh noise up to it; after
/// Crowson's k-diffusion. Noise is drawn in every second step. Numbers agree with diffusers 0.42.1,
/// scheduling_k_dpm_2_ancestral_discrete.py.
class KDPM2AncestralDiscreteScheduler final : public Scheduler {
 public:
  KDPM2AncestralDiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<KDPM2AncestralDiscreteScheduler>(*this); }
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
    return SigmaSpace::scale_input(sample, sigma_seen(step_index));
  }
  std::int64_t order() const override { return 2; }
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  void begin(const KDiffusionSchedule::Levels& levels);
  at::Tensor sigma_seen(std::size_t step_index) const;

  KDiffusionSchedule schedule_;
  SigmaSpace space_;
  Run run_;
  // All [n + 1] float32; [k] belongs to the step that starts at noise level k.
  at::Tensor sigmas_down_;  // where the deterministic part ends
  at::Tensor sigmas_up_;    // the noise added there
  at::Tensor midpoints_;    // halfway to sigmas_down_, in log(sigma)
  at::Tensor sample_;       // history: the sample where the step to the midpoint started
};

KDPM2AncestralDiscreteScheduler::KDPM2AncestralDiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : schedule_(arguments, KDiffusionClass::kDpm2, {.beta_start = 0.00085, .beta_end = 0.012}),
      space_{read_prediction_type(arguments, SupportedPredictions::kEpsilonAndV)} {}

void KDPM2AncestralDiscreteScheduler::begin(const KDiffusionSchedule::Levels& levels) {
  const auto sigmas = sigma_tensor(levels.sigmas, 0.0);
  const auto sigmas_next = at::roll(sigmas, -1);
  sigmas_next.select(0, -1).fill_(0.0);
  sigmas_up_ = square_root(square(sigmas_next) * (square(sigmas) - square(sigmas_next)) / square(sigmas));
  sigmas_down_ = square_root(square(sigmas_next) - square(sigmas_up_));
  sigmas_down_.select(0, -1).fill_(0.0);
  midpoints_ = at::exp(at::lerp(at::log(sigmas), at::log(sigmas_down_), 0.5));
  midpoints_.slice(0, -2).fill_(0.0);  // the last step goes directly to 0
  run_ = Run(with_midpoints(levels.timesteps, midpoints_.slice(0, 0, -2), schedule_.log_sigmas()), sigmas);
  sample_ = at::Tensor();
}

at::Tensor KDPM2AncestralDiscreteScheduler::sigma_seen(std::size_t step_index) const {
  return (step_index % 2 == 1 ? midpoints_ : run_.sigmas()).select(0, static_cast<std::int64_t>(step_index / 2));
}

Scheduler::Step KDPM2AncestralDiscreteScheduler::step(const at::Tensor& model_output, std::size_t step_index,
                                                      const at::Tensor& sample, NoiseSource& noise) {
  run_.check_next(step_index);
  check_tensors(model_output, sample);
  const bool from_midpoint = step_index % 2 == 1;
  const auto from = static_cast<std::int64_t>(step_index / 2);
  const auto sigma_from = run_.sigmas().select(0, from), sigma_here = sigma_seen(step_index);

  Step result;
  result.pred_original_sample = space_.to_x0(model_output, sample, sigma_here);
  const auto derivative = (sample - result.pred_original_sample) / sigma_here;
  if (from_midpoint) {
    const auto moved = sample_ + derivative * (sigmas_down_.select(0, from) - sigma_from);
    result.prev_sample = moved + noise.normal_like(model_output) * sigmas_up_.select(0, from);
  } else {
    result.prev_sample = sample + derivative * (midpoints_.select(0, from) - sigma_from);
  }

  sample_ = from_midpoint ? at::Tensor() : sample;
  run_.advance();
  return result;
}

}  // namespace

std::unique_ptr<Scheduler> make_k_dpm_2_ancestral_discrete(SchedulerArguments& arguments,
                                                           const SchedulerOptions& options) {
  return std::make_unique<KDPM2AncestralDiscreteScheduler>(arguments, options);
}

}  // namespace easel
