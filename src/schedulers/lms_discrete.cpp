#include "schedulers/lms_discrete.h"

#include <algorithm>
#include <span>

#include "easel/error.h"
#include "schedulers/gauss_kronrod.h"
#include "schedulers/tensor_math.h"

namespace easel {
namespace {

constexpr std::size_t kOrder = 4;

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
void check_distinct(std::span<const float> sigmas) {
  if (std::adjacent_find(sigmas.begin(), sigmas.end()) == sigmas.end()) return;
  throw Error(ErrorCode::kInvalidArgument,
              "LMS: with this num_inference_steps and the model's steps_offset two steps have the same noise level",
              "num_inference_steps");
}

}  // namespace

LMSDiscreteScheduler::LMSDiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions&)
    : schedule_(read_noise_schedule(arguments, ZeroTerminalSnr::kNotAField)),
      schedule_of_run_(arguments, {.karras_takes_sigma_range = false}),
      prediction_type_(read_prediction_type(arguments, {{"epsilon", PredictionType::kEpsilon},
                                                        {"sample", PredictionType::kSample},
                                                        {"v_prediction", PredictionType::kVPrediction}})),
      sigmas_(sigma_tensor({}, 1.0)) {}

void LMSDiscreteScheduler::set_timesteps(std::int64_t num_inference_steps) {
  check_num_inference_steps(num_inference_steps, schedule_);
  const auto run = schedule_of_run_.run(schedule_, num_inference_steps);
  const auto sigmas = sigma_tensor(run.sigmas, 0.0);
  check_distinct({sigmas.const_data_ptr<float>(), run.sigmas.size()});
  timesteps_.assign(run.timesteps.begin(), run.timesteps.end());
  sigmas_ = sigmas;
  steps_done_ = 0;
  derivatives_.clear();
}

at::Tensor LMSDiscreteScheduler::scale_model_input(const at::Tensor& sample, std::size_t step_index) const {
  check_step_index(step_index);
  return scale_to_unit_variance(sample, sigmas_.select(0, static_cast<std::int64_t>(step_index)));
}

Scheduler::Step LMSDiscreteScheduler::step(const at::Tensor& model_output, std::size_t step_index,
                                           const at::Tensor& sample, NoiseSource&) {
  check_step_index(step_index);
  check_in_order(step_index, steps_done_);
  check_tensors(model_output, sample);
  const auto sigma = sigmas_.select(0, static_cast<std::int64_t>(step_index));
  Step result;
  result.pred_original_sample = predict_original_sample(prediction_type_, model_output, sample, sigma);
  auto derivatives = derivatives_;
  derivatives.push_back((sample - result.pred_original_sample) / sigma);
  if (derivatives.size() > kOrder) derivatives.erase(derivatives.begin());

  const std::span sigmas(sigmas_.const_data_ptr<float>(), timesteps_.size() + 1);
  const auto order = derivatives.size();
  at::Tensor change;
  for (std::size_t current = 0; current < order; ++current) {
    const auto term = derivatives[order - 1 - current] * lms_coefficient(sigmas, order, step_index, current);
    change = change.defined() ? change + term : term;
  }
  result.prev_sample = sample + change;

  derivatives_ = std::move(derivatives);
  ++steps_done_;
  return result;
}

}  // namespace easel
