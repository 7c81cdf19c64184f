// LMS, after Crowson's k-diffusion.
#include <ATen/TensorOperators.h>

#include <algorithm>
#include <span>

#include "easel/error.h"
#include "schedulers/algorithms/algorithms.h"
#include "schedulers/numerics/gauss_kronrod.h"
#include "schedulers/schedule/k_diffusion_schedule.h"
#include "schedulers/schedule/run.h"
#include "schedulers/schedule/sample_space.h"

namespace easel {
namespace {

constexpr std::size_t kLmsOrder = 4;

// The weight of the slope `current` steps ago in the step that starts at `now`: the integral of Lagrange's basis
// polynomial through the last `order` noise levels. The reference integrates in float64, over a function that it
// evaluates in float32, operation by operation; the same is done here.
double lms_coefficient(std::span<const float> sigmas, std::size_t order, std::size_t now, std::size_t current) {
  const auto basis = [&](double tau) {
    float product = 1.0f;
    for (std::size_t k = 0; k < order; ++k) {
      if (k == current) continue;
      product *= (static_cast<float>(tau) - sigmas[now - k]) / (sigmas[now - current] - sigmas[now - k]);
    }
    return static_cast<double>(product);
  };
  return -gauss_kronrod_21(basis, sigmas[now + 1], sigmas[now]);
}

// Between equal noise levels there is no polynomial. The reference then integrates infinities, and its result depends
// on how QUADPACK fails.
void check_distinct(const std::vector<double>& sigmas) {
  const std::vector<float> rounded(sigmas.begin(), sigmas.end());
  if (std::adjacent_find(rounded.begin(), rounded.end()) == rounded.end()) return;
  throw Error(ErrorCode::kInvalidArgument,
              "LMS: with this num_inference_steps and the model's steps_offset two steps have the same noise level",
              "num_inference_steps");
}

/// Linear multistep (Adams-Bashforth) in sigma, of order 4 once there is that much history; after Crowson's
/// k-diffusion. A run that begins in its middle uses the weights of a full history from its first step, as in the
/// reference. Two steps at the same noise level are rejected, with param num_inference_steps. Numbers agree with
/// diffusers 0.42.1, scheduling_lms_discrete.py.
class LMSDiscreteScheduler final : public Scheduler {
 public:
  LMSDiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<LMSDiscreteScheduler>(*this); }
  const std::vector<float>& timesteps() const override { return run_.timesteps(); }
  void set_begin_index(std::size_t first_step) override { run_.begin_at(first_step, order()); }
  double init_noise_sigma() const override { return initial_noise_sigma(run_.sigmas(), schedule_.timestep_spacing()); }
  void set_timesteps(std::int64_t num_inference_steps) override { begin(schedule_.levels(num_inference_steps)); }
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
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  void begin(const KDiffusionSchedule::Levels& levels);

  KDiffusionSchedule schedule_;
  SigmaSpace space_;
  Run run_;
  std::vector<at::Tensor> derivatives_;  // history: slopes, the newest last
};

LMSDiscreteScheduler::LMSDiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : schedule_(arguments, KDiffusionClass::kLms, {}),
      space_{read_prediction_type(arguments, SupportedPredictions::kAllButFlow)} {}

void LMSDiscreteScheduler::begin(const KDiffusionSchedule::Levels& levels) {
  check_distinct(levels.sigmas);
  run_ = Run({levels.timesteps.begin(), levels.timesteps.end()}, sigma_tensor(levels.sigmas, 0.0));
  derivatives_.clear();
}

Scheduler::Step LMSDiscreteScheduler::step(const at::Tensor& model_output, std::size_t step_index,
                                           const at::Tensor& sample, NoiseSource&) {
  run_.check_next(step_index);
  check_tensors(model_output, sample);
  Step result;
  result.pred_original_sample = space_.to_x0(model_output, sample, run_.sigma(step_index));
  auto derivatives = derivatives_;
  derivatives.push_back((sample - result.pred_original_sample) / run_.sigma(step_index));
  if (derivatives.size() > kLmsOrder) derivatives.erase(derivatives.begin());

  const std::span sigmas(run_.sigmas().const_data_ptr<float>(), run_.size() + 1);
  const auto order = std::min(step_index + 1, kLmsOrder);
  at::Tensor change;
  for (std::size_t current = 0; current < derivatives.size(); ++current) {
    const auto coefficient = lms_coefficient(sigmas, order, step_index, current);
    const auto term = derivatives[derivatives.size() - 1 - current] * coefficient;
    change = change.defined() ? change + term : term;
  }
  result.prev_sample = sample + change;

  derivatives_ = std::move(derivatives);
  run_.advance();
  return result;
}

}  // namespace

std::unique_ptr<Scheduler> make_lms_discrete(SchedulerArguments& arguments, const SchedulerOptions& options) {
  return std::make_unique<LMSDiscreteScheduler>(arguments, options);
}

}  // namespace easel
