#include "schedulers/algorithms/dpmsolver_sde.h"

#include <ATen/ops/abs.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/expm1.h>
#include <ATen/ops/log.h>
#include <ATen/ops/neg.h>
#include <ATen/ops/sqrt.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "easel/noise.h"
#include "schedulers/numerics/brownian_tree.h"
#include "schedulers/numerics/tensor_math.h"
#include "tensor/upload.h"

namespace easel {
namespace {

at::Tensor sigma_of(const at::Tensor& t) {
  return at::exp(at::neg(t));
}

at::Tensor t_of(const at::Tensor& sigma) {
  return at::neg(at::log(sigma));
}

double value_of(const at::Tensor& number) {
  return static_cast<double>(*number.const_data_ptr<float>());
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

}  // namespace

DPMSolverSDEScheduler::DPMSolverSDEScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : KDiffusionScheduler(arguments, {.beta_start = 0.00085, .beta_end = 0.012},
                          {.float32_timesteps = false, .karras_takes_sigma_range = false},
                          SupportedPredictions::kEpsilonAndV) {
  if (arguments.has("noise_sampler_seed")) {
    noise_sampler_seed_ = arguments.integer("noise_sampler_seed", 0);
    if (*noise_sampler_seed_ < 0) throw arguments.corrupt("noise_sampler_seed", "expected 0 or more");
  }
}

void DPMSolverSDEScheduler::begin(const KDiffusionSchedule::Run& run) {
  KDiffusionScheduler::begin(run);
  const auto halfway = midpoint_timesteps(run.sigmas, log_of(schedule_.sigmas()));
  timesteps_ = repeat_interleaved(run.timesteps);
  for (std::size_t i = 0; i < halfway.size(); ++i) timesteps_[2 * i + 1] = static_cast<float>(halfway[i]);
  sample_ = at::Tensor();
}

at::Tensor DPMSolverSDEScheduler::sigma_seen(std::size_t step_index) const {
  return step_index % 2 == 1 ? sigma_of(span_of(step_index - 1).to) : sigma(step_index / 2);
}

DPMSolverSDEScheduler::Span DPMSolverSDEScheduler::span_of(std::size_t step_index) const {
  const auto t = t_of(sigma(step_index / 2)), t_next = t_of(sigma(step_index / 2 + 1));
  return {t, step_index % 2 == 1 ? t_next : t + (t_next - t) * 0.5};
}

Scheduler::Step DPMSolverSDEScheduler::step(const at::Tensor& model_output, std::size_t step_index,
                                            const at::Tensor& sample, NoiseSource& noise) {
  check_step(model_output, step_index, sample);
  const bool from_midpoint = step_index % 2 == 1;
  const auto sigma_here = sigma_seen(step_index);
  Step result;
  result.pred_original_sample = predict_x0(model_output, sample, sigma_here);
  if (step_index + 1 == timesteps_.size()) {
    const auto derivative = (sample - result.pred_original_sample) / sigma_here;
    const auto dt = sigmas_.select(0, -1) - sigma_here;
    result.prev_sample = sample + derivative * dt;
  } else {
    // To a lower noise level than the next one, then noise up to it.
    const auto span = span_of(step_index);
    const auto sigma_from = sigma_of(span.from), sigma_to = sigma_of(span.to);
    const auto up = square_root(square(sigma_to) * (square(sigma_from) - square(sigma_to)) / square(sigma_from));
    const auto sigma_up = value_of(up) < value_of(sigma_to) ? up : sigma_to;
    const auto t_down = t_of(square_root(square(sigma_to) - square(sigma_up)));
    const auto& start = from_midpoint ? sample_ : sample;
    const auto moved =
        sigma_of(t_down) / sigma_of(span.from) * start - at::expm1(span.from - t_down) * result.pred_original_sample;
    result.prev_sample = moved + brownian_noise(span, sample, noise) * sigma_up;
  }

  sample_ = from_midpoint ? at::Tensor() : sample;
  ++steps_done_;
  return result;
}

// Normal numbers: the path's increment over the span, divided by its deviation.
at::Tensor DPMSolverSDEScheduler::brownian_noise(const Span& span, const at::Tensor& like,
                                                 const NoiseSource& noise) const {
  const auto last = static_cast<std::int64_t>(timesteps_.size() / 2);
  const auto seed = noise_sampler_seed_ ? static_cast<std::uint64_t>(*noise_sampler_seed_) : noise.seed();
  const BrownianTree tree(value_of(sigmas_.select(0, last)), value_of(sigmas_.select(0, 0)), like.sizes().vec(), seed);
  const auto from = sigma_of(span.from), to = sigma_of(span.to);
  const auto increment = tree.increment(value_of(to), value_of(from)) * -1;  // noise levels fall
  return upload(increment / at::sqrt(at::abs(to - from)), like.device(), like.scalar_type());
}

}  // namespace easel
