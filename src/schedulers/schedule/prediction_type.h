// What a network's output means.
#pragma once

#include "schedulers/schedule/scheduler_arguments.h"

namespace easel {

enum class PredictionType {
  kEpsilon,         ///< the noise
  kSample,          ///< x0
  kVPrediction,     ///< Salimans and Ho 2022 (arXiv:2202.00512): sqrt(alpha) * eps - sqrt(1 - alpha) * x0
  kFlowPrediction,  ///< the velocity from x0 to the noise
};

/// Which of them a class knows.
enum class SupportedPredictions { kEpsilonAndV, kAllButFlow, kAll };

/// `prediction_type`, epsilon by default in every class.
/// @throws Error(kUnsupported)  not one that the class knows
PredictionType read_prediction_type(SchedulerArguments& arguments, SupportedPredictions known);

}  // namespace easel
