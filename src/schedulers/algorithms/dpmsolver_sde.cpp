// DPM-Solver SDE, after Crowson's k-diffusion.
#include <ATen/ops/abs.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/expm1.h>
#include <ATen/ops/log.h>
#include <ATen/ops/neg.h>
#include <ATen/ops/sqrt.h>

#include <cmath>
#include <optional>
#include <span>

#include "easel/noise.h"
#include "schedulers/algorithms/algorithms.h"
#include "schedulers/numerics/brownian_tree.h"
#include "schedulers/numerics/tensor_math.h"
#include "schedulers/schedule/k_diffusion_schedule.h"
#include "schedulers/schedule/run.h"
#include "schedulers/schedule/sample_space.h"
#include "tensor/upload.h"

namespace easel {
namespace {

at::Tensor sigma_at(const at::Tensor& t) {
  return at::exp(at::neg(t));
}

at::Tensor t_of(const at::Tensor& sigma) {
  return at::neg(at::log(sigma));
}

// Timesteps of the model's evaluations halfway between the sigmas, in log(sigma). float64, unlike the midpoints that
// the steps themselves compute.
std::vector<double> midpoint_timesteps(const std::vector<double>& sigmas, std::span<const float> log_sigmas) {
  std::vector<double> timesteps;
  for (std::size_t i = 0; i + 1 < sigmas.size(); ++i) {
    const double t = -std::log(sigmas[i]), t_next = -std::log(sigmas[i + 1]);
    timesteps.push_back(sigma_to_timestep(std::exp(-(t + (t_next - t) * 0.5)), log_sigmas));
  }
  return timesteps;
}

/// DPM-Solver++ (stochastic) of second order, one evaluation at the start of a step and one halfway; after Crowson's
/// k-diffusion, sample_dpmpp_sde. Noise is one path of Brownian motion over the noise levels (see BrownianTree), so
/// that runs of different step counts follow the same path. Its seed is the config's noise_sampler_seed or, without
/// one, the image's own seed, where diffusers uses a random one. A run has 2 * num_inference_steps - 1 steps. Numbers
/// agree with diffusers 0.42.1, scheduling_dpmsolver_sde.py.
class DPMSolverSDEScheduler final : public Scheduler {
 public:
  DPMSolverSDEScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<DPMSolverSDEScheduler>(*this); }
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

  // An inference step, or its first half: -log(sigma) of its two noise levels. 0-dim float32.
  struct Span {
    at::Tensor from, to;
  };
  Span span_of(std::size_t step_index) const;
  at::Tensor brownian_noise(const Span& span, const at::Tensor& like, const NoiseSource& noise);

  KDiffusionSchedule schedule_;
  SigmaSpace space_;
  Run run_;  // step 2k goes from level k to the midpoint, step 2k + 1 from level k to level k + 1
  std::optional<std::int64_t> noise_sampler_seed_;
  at::Tensor sample_;                 // history: the sample where the inference step began
  std::optional<BrownianTree> tree_;  // of the run, from its first noise to its last step
};

DPMSolverSDEScheduler::DPMSolverSDEScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : schedule_(arguments, KDiffusionClass::kDpmSolverSde, {.beta_start = 0.00085, .beta_end = 0.012}),
      space_{read_prediction_type(arguments, SupportedPredictions::kEpsilonAndV)} {
  if (arguments.has("noise_sampler_seed")) {
    noise_sampler_seed_ = arguments.integer("noise_sampler_seed", 0);
    if (*noise_sampler_seed_ < 0) throw arguments.corrupt("noise_sampler_seed", "expected 0 or more");
  }
}

void DPMSolverSDEScheduler::begin(const KDiffusionSchedule::Levels& levels) {
  const auto halfway = midpoint_timesteps(levels.sigmas, schedule_.log_sigmas());
  auto timesteps = repeat_interleaved(levels.timesteps);
  for (std::size_t i = 0; i < halfway.size(); ++i) timesteps[2 * i + 1] = static_cast<float>(halfway[i]);
  run_ = Run(std::move(timesteps), sigma_tensor(levels.sigmas, 0.0));
  sample_ = at::Tensor();
  tree_.reset();
}

at::Tensor DPMSolverSDEScheduler::sigma_seen(std::size_t step_index) const {
  return step_index % 2 == 1 ? sigma_at(span_of(step_index - 1).to) : run_.sigma(step_index / 2);
}

DPMSolverSDEScheduler::Span DPMSolverSDEScheduler::span_of(std::size_t step_index) const {
  const auto t = t_of(run_.sigma(step_index / 2)), t_next = t_of(run_.sigma(step_index / 2 + 1));
  return {t, step_index % 2 == 1 ? t_next : t + (t_next - t) * 0.5};
}

Scheduler::Step DPMSolverSDEScheduler::step(const at::Tensor& model_output, std::size_t step_index,
                                            const at::Tensor& sample, NoiseSource& noise) {
  run_.check_next(step_index);
  check_tensors(model_output, sample);
  const bool from_midpoint = step_index % 2 == 1;
  const auto sigma_here = sigma_seen(step_index);
  Step result;
  result.pred_original_sample = space_.to_x0(model_output, sample, sigma_here);
  if (run_.is_last(step_index)) {
    const auto derivative = (sample - result.pred_original_sample) / sigma_here;
    const auto dt = run_.sigmas().select(0, -1) - sigma_here;
    result.prev_sample = sample + derivative * dt;
    tree_.reset();
  } else {
    // Move to a lower noise level than the next one, then add noise up to it.
    const auto span = span_of(step_index);
    const auto sigma_from = sigma_at(span.from), sigma_to = sigma_at(span.to);
    const auto up = square_root(square(sigma_to) * (square(sigma_from) - square(sigma_to)) / square(sigma_from));
    const auto sigma_up = value_of(up) < value_of(sigma_to) ? up : sigma_to;
    const auto t_down = t_of(square_root(square(sigma_to) - square(sigma_up)));
    const auto& start = from_midpoint ? sample_ : sample;
    const auto moved =
        sigma_at(t_down) / sigma_at(span.from) * start - at::expm1(span.from - t_down) * result.pred_original_sample;
    result.prev_sample = moved + brownian_noise(span, sample, noise) * sigma_up;
  }

  sample_ = from_midpoint ? at::Tensor() : sample;
  run_.advance();
  return result;
}

// Normal numbers: the path's increment over the span, divided by its standard deviation.
at::Tensor DPMSolverSDEScheduler::brownian_noise(const Span& span, const at::Tensor& like, const NoiseSource& noise) {
  const auto seed = noise_sampler_seed_ ? static_cast<std::uint64_t>(*noise_sampler_seed_) : noise.seed();
  if (!tree_ || !tree_->is_of(seed, like.sizes())) {
    const auto last = static_cast<std::int64_t>(run_.size() / 2);
    tree_.emplace(value_of(run_.sigmas().select(0, last)), value_of(run_.sigmas().select(0, 0)), like.sizes().vec(),
                  seed);
  }
  const auto from = sigma_at(span.from), to = sigma_at(span.to);
  const auto increment = tree_->increment(value_of(to), value_of(from)) * -1;  // noise levels fall
  return upload(increment / at::sqrt(at::abs(to - from)), like.device(), like.scalar_type());
}

}  // namespace

std::unique_ptr<Scheduler> make_dpmsolver_sde(SchedulerArguments& arguments, const SchedulerOptions& options) {
  return std::make_unique<DPMSolverSDEScheduler>(arguments, options);
}

}  // namespace easel
