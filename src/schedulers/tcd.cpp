#include "schedulers/tcd.h"

#include <cmath>

#include "core/text.h"
#include "easel/error.h"
#include "schedulers/tensor_math.h"
#include "tensor/noise_source.h"

namespace easel {

TCDScheduler::TCDScheduler(SchedulerArguments& arguments, const SchedulerOptions& options)
    : schedule_(read_noise_schedule(arguments, ZeroTerminalSnr::kExact,
                                    {.beta_start = 0.00085, .beta_end = 0.012, .beta_schedule = "scaled_linear"})),
      distilled_timesteps_(arguments, schedule_),
      prediction_type_(read_prediction_type(arguments, {{"epsilon", PredictionType::kEpsilon},
                                                        {"sample", PredictionType::kSample},
                                                        {"v_prediction", PredictionType::kVPrediction}})),
      eta_(options.eta) {
  if (!(eta_ >= 0 && eta_ <= 1)) {
    throw Error(ErrorCode::kInvalidArgument, concat("eta is ", eta_, ", expected 0 to 1"), "eta");
  }
}

void TCDScheduler::set_timesteps(std::int64_t num_inference_steps) {
  timesteps_ = distilled_timesteps_.spread(num_inference_steps, schedule_);
}

void TCDScheduler::set_custom_timesteps(const std::vector<double>& timesteps) {
  timesteps_ = whole_timesteps(timesteps, schedule_);
}

Scheduler::Step TCDScheduler::step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
                                   NoiseSource& noise) {
  check_step_index(step_index);
  check_tensors(model_output, sample);
  const bool last = step_index + 1 == timesteps_.size();
  const float prev_timestep = last ? 0.0f : timesteps_[step_index + 1];
  // In float32, as the reference multiplies a tensor of integers.
  const float timestep_s = std::floor(static_cast<float>(1 - eta_) * prev_timestep);
  const auto alpha_prod_t = schedule_.alpha_prod(static_cast<std::int64_t>(timesteps_[step_index]));
  const auto alpha_prod_s = schedule_.alpha_prod(static_cast<std::int64_t>(timestep_s));
  const auto signal = square_root(alpha_prod_t), deviation = square_root(one_minus(alpha_prod_t));

  Step result;
  auto epsilon = model_output;
  switch (prediction_type_) {
    case PredictionType::kEpsilon:
      result.pred_original_sample = (sample - deviation * model_output) / signal;
      break;
    case PredictionType::kSample:
      result.pred_original_sample = model_output;
      epsilon = (sample - signal * model_output) / deviation;
      break;
    default:
      result.pred_original_sample = signal * sample - deviation * model_output;
      epsilon = signal * model_output + deviation * sample;
  }
  result.prev_sample =
      square_root(alpha_prod_s) * result.pred_original_sample + square_root(one_minus(alpha_prod_s)) * epsilon;
  if (eta_ > 0 && !last) {
    const auto ratio = schedule_.alpha_prod(static_cast<std::int64_t>(prev_timestep)) / alpha_prod_s;
    result.prev_sample =
        square_root(ratio) * result.prev_sample + square_root(one_minus(ratio)) * noise.normal_like(model_output);
  }
  return result;
}

}  // namespace easel
