#include "schedulers/ddim.h"

#include <ATen/ops/clamp.h>
#include <ATen/ops/ones.h>

#include <cmath>

#include "core/text.h"
#include "schedulers/numpy_math.h"
#include "schedulers/tensor_math.h"
#include "tensor/noise_source.h"

namespace easel {

DDIMScheduler::DDIMScheduler(SchedulerArguments& arguments, const SchedulerOptions& options)
    : schedule_(read_noise_schedule(arguments, ZeroTerminalSnr::kExact)),
      final_alpha_cumprod_(arguments.flag("set_alpha_to_one", true) ? at::ones({}, at::kFloat)
                                                                    : schedule_.alpha_prod(0)),
      prediction_type_(read_prediction_type(arguments, {{"epsilon", PredictionType::kEpsilon},
                                                        {"sample", PredictionType::kSample},
                                                        {"v_prediction", PredictionType::kVPrediction}})),
      timestep_spacing_(read_timestep_spacing(arguments, "leading")),
      steps_offset_(read_steps_offset(arguments, timestep_spacing_)),
      clip_sample_(arguments.flag("clip_sample", true)),
      clip_sample_range_(clip_sample_ ? arguments.number("clip_sample_range", 1.0) : 0.0),
      thresholding_(arguments),
      eta_(options.eta) {
  if (!(eta_ >= 0 && eta_ <= 1)) {
    throw Error(ErrorCode::kInvalidArgument, concat("eta is ", eta_, ", expected 0 to 1"), "eta");
  }
}

void DDIMScheduler::set_timesteps(std::int64_t num_inference_steps) {
  check_num_inference_steps(num_inference_steps, schedule_);
  std::vector<float> timesteps;
  for (const double timestep :
       spaced_timesteps(timestep_spacing_, num_inference_steps, schedule_.num_train_timesteps, steps_offset_)) {
    timesteps.push_back(static_cast<float>(numpy::round(timestep)));
    check_timestep(static_cast<std::int64_t>(timesteps.back()), schedule_);
  }
  timesteps_ = std::move(timesteps);
  num_inference_steps_ = num_inference_steps;
}

at::Tensor DDIMScheduler::add_noise(const at::Tensor& original, const at::Tensor& noise, std::size_t step_index) const {
  check_step_index(step_index);
  return schedule_.add_noise(original, noise, static_cast<std::int64_t>(timesteps_[step_index]));
}

Scheduler::Step DDIMScheduler::step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
                                    NoiseSource& noise) {
  check_step_index(step_index);
  check_tensors(model_output, sample);
  const auto timestep = static_cast<std::int64_t>(timesteps_[step_index]);
  const auto prev_timestep = timestep - schedule_.num_train_timesteps / num_inference_steps_;
  const auto alpha_prod_t = schedule_.alpha_prod(timestep);
  const auto alpha_prod_t_prev = prev_timestep >= 0 ? schedule_.alpha_prod(prev_timestep) : final_alpha_cumprod_;

  const auto predicted = predict(model_output, sample, alpha_prod_t);
  const auto pred_original_sample = clipped(predicted.original_sample);

  // Equation 16, then 12.
  const auto variance =
      (one_minus(alpha_prod_t_prev) / one_minus(alpha_prod_t)) * one_minus(alpha_prod_t / alpha_prod_t_prev);
  const auto std_dev_t = square_root(variance) * eta_;
  const auto direction_to_t = square_root(one_minus(alpha_prod_t_prev) - square(std_dev_t)) * predicted.epsilon;
  auto prev_sample = square_root(alpha_prod_t_prev) * pred_original_sample + direction_to_t;
  if (eta_ > 0) prev_sample = prev_sample + std_dev_t * noise.normal_like(model_output);
  return {prev_sample, pred_original_sample};
}

DDIMScheduler::Prediction DDIMScheduler::predict(const at::Tensor& model_output, const at::Tensor& sample,
                                                 const at::Tensor& alpha_prod_t) const {
  const auto signal = square_root(alpha_prod_t), deviation = square_root(one_minus(alpha_prod_t));
  switch (prediction_type_) {
    case PredictionType::kEpsilon:
      return {(sample - deviation * model_output) / signal, model_output};
    case PredictionType::kSample:
      return {model_output, (sample - signal * model_output) / deviation};
    default:
      return {signal * sample - deviation * model_output, signal * model_output + deviation * sample};
  }
}

at::Tensor DDIMScheduler::clipped(const at::Tensor& original_sample) const {
  if (thresholding_.enabled()) return thresholding_(original_sample);
  if (clip_sample_) return at::clamp(original_sample, -clip_sample_range_, clip_sample_range_);
  return original_sample;
}

}  // namespace easel
