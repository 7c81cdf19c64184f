#include "schedulers/algorithms/lms_discrete.h"

#include <algorithm>
#include <span>

#include "easel/error.h"
#include "schedulers/numerics/gauss_kronrod.h"
#include "schedulers/numerics/tensor_math.h"

namespace easel {
namespace {

constexpr std::size_t kLmsOrder = 4;

// The weight of the slope `current` steps ago in the step that starts at `now`: the integral of Lagrange's basis
// polynomial through the last `order` noise levels. The reference integrates it in float64, over values that are
// float32 numbers, operation by operation; so it is done here.
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

// Between equal noise levels there is no polynomial. The reference's integrals are of infinities then, and what it
// draws with them depends on how QUADPACK gives up.
void check_distinct(const std::vector<double>& sigmas) {
  const std::vector<float> rounded(sigmas.begin(), sigmas.end());
  if (std::adjacent_find(rounded.begin(), rounded.end()) == rounded.end()) return;
  throw Error(ErrorCode::kInvalidArgument,
              "LMS: with this num_inference_steps and the model's steps_offset two steps have the same noise level",
              "num_inference_steps");
}

}  // namespace

LMSDiscreteScheduler::LMSDiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : KDiffusionScheduler(arguments, {}, {.karras_takes_sigma_range = false}, SupportedPredictions::kAllButFlow) {}

void LMSDiscreteScheduler::begin(const KDiffusionSchedule::Run& run) {
  check_distinct(run.sigmas);
  KDiffusionScheduler::begin(run);
  derivatives_.clear();
}

Scheduler::Step LMSDiscreteScheduler::step(const at::Tensor& model_output, std::size_t step_index,
                                           const at::Tensor& sample, NoiseSource&) {
  check_step(model_output, step_index, sample);
  Step result;
  result.pred_original_sample = predict_x0(model_output, sample, sigma(step_index));
  auto derivatives = derivatives_;
  derivatives.push_back((sample - result.pred_original_sample) / sigma(step_index));
  if (derivatives.size() > kLmsOrder) derivatives.erase(derivatives.begin());

  const std::span sigmas(sigmas_.const_data_ptr<float>(), timesteps_.size() + 1);
  const auto order = std::min(step_index + 1, kLmsOrder);
  at::Tensor change;
  for (std::size_t current = 0; current < derivatives.size(); ++current) {
    const auto coefficient = lms_coefficient(sigmas, order, step_index, current);
    const auto term = derivatives[derivatives.size() - 1 - current] * coefficient;
    change = change.defined() ? change + term : term;
  }
  result.prev_sample = sample + change;

  derivatives_ = std::move(derivatives);
  ++steps_done_;
  return result;
}

}  // namespace easel
