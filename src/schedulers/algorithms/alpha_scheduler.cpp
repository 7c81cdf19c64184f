#include "schedulers/algorithms/alpha_scheduler.h"

#include "core/text.h"
#include "easel/error.h"
#include "schedulers/numerics/tensor_math.h"

namespace easel {

at::Tensor AlphaScheduler::add_noise(const at::Tensor& original, const at::Tensor& noise,
                                     std::size_t step_index) const {
  check_step_index(step_index);
  return schedule_.add_noise(original, noise, timestep(step_index));
}

at::Tensor AlphaScheduler::original_sample_from(const at::Tensor& model_output, const at::Tensor& sample,
                                                const at::Tensor& alpha_prod) const {
  if (prediction_type_ == PredictionType::kSample) return model_output;
  const auto signal = square_root(alpha_prod), std_dev = square_root(one_minus(alpha_prod));
  if (prediction_type_ == PredictionType::kEpsilon) return (sample - std_dev * model_output) / signal;
  return signal * sample - std_dev * model_output;
}

at::Tensor AlphaScheduler::epsilon_from(const at::Tensor& model_output, const at::Tensor& sample,
                                        const at::Tensor& alpha_prod) const {
  if (prediction_type_ == PredictionType::kEpsilon) return model_output;
  const auto signal = square_root(alpha_prod), std_dev = square_root(one_minus(alpha_prod));
  if (prediction_type_ == PredictionType::kSample) return (sample - signal * model_output) / std_dev;
  return signal * model_output + std_dev * sample;
}

double checked_eta(const SchedulerOptions& options) {
  if (options.eta >= 0 && options.eta <= 1) return options.eta;
  throw Error(ErrorCode::kInvalidArgument, concat("eta is ", options.eta, ", expected 0 to 1"), "eta");
}

}  // namespace easel
