#include "schedulers/schedule/sample_space.h"

#include "schedulers/numerics/tensor_math.h"

namespace easel {

PredictionType read_prediction_type(SchedulerArguments& arguments, SupportedPredictions supported) {
  const auto read = [&](std::initializer_list<std::pair<const char*, PredictionType>> names) {
    return arguments.choice<PredictionType>("prediction_type", "epsilon", names);
  };
  switch (supported) {
    case SupportedPredictions::kEpsilonAndV:
      return read({{"epsilon", PredictionType::kEpsilon}, {"v_prediction", PredictionType::kVPrediction}});
    case SupportedPredictions::kAllButFlow:
      return read({{"epsilon", PredictionType::kEpsilon},
                   {"sample", PredictionType::kSample},
                   {"v_prediction", PredictionType::kVPrediction}});
    case SupportedPredictions::kAll:
      break;
  }
  return read({{"epsilon", PredictionType::kEpsilon},
               {"sample", PredictionType::kSample},
               {"v_prediction", PredictionType::kVPrediction},
               {"flow_prediction", PredictionType::kFlowPrediction}});
}

at::Tensor AlphaSpace::to_x0(const at::Tensor& model_output, const at::Tensor& sample,
                             const at::Tensor& alpha_prod) const {
  if (prediction_type == PredictionType::kSample) return model_output;
  const auto signal = square_root(alpha_prod), std_dev = square_root(one_minus(alpha_prod));
  if (prediction_type == PredictionType::kEpsilon) return (sample - std_dev * model_output) / signal;
  return signal * sample - std_dev * model_output;
}

at::Tensor AlphaSpace::to_epsilon(const at::Tensor& model_output, const at::Tensor& sample,
                                  const at::Tensor& alpha_prod) const {
  if (prediction_type == PredictionType::kEpsilon) return model_output;
  const auto signal = square_root(alpha_prod), std_dev = square_root(one_minus(alpha_prod));
  if (prediction_type == PredictionType::kSample) return (sample - signal * model_output) / std_dev;
  return signal * model_output + std_dev * sample;
}

at::Tensor SigmaSpace::add_noise(const at::Tensor& original, const at::Tensor& noise, const at::Tensor& sigma) {
  return original + noise * sigma.to(original.scalar_type());
}

at::Tensor SigmaSpace::scale_input(const at::Tensor& sample, const at::Tensor& sigma) {
  return sample / square_root(square(sigma) + 1);
}

at::Tensor SigmaSpace::to_x0(const at::Tensor& model_output, const at::Tensor& sample, const at::Tensor& sigma) const {
  switch (prediction_type) {
    case PredictionType::kEpsilon:
      return sample - sigma * model_output;
    case PredictionType::kSample:
      return model_output;
    default: {
      const auto variance = square(sigma) + 1;
      return model_output * (-sigma / square_root(variance)) + sample / variance;
    }
  }
}

}  // namespace easel
