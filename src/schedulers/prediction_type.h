// What a network's output means.
#pragma once

#include <initializer_list>

#include "schedulers/scheduler_arguments.h"

namespace easel {

enum class PredictionType {
  kEpsilon,         ///< the noise
  kSample,          ///< x0
  kVPrediction,     ///< Salimans and Ho 2022 (arXiv:2202.00512): sqrt(alpha) * eps - sqrt(1 - alpha) * x0
  kFlowPrediction,  ///< the velocity from x0 to the noise
};

using PredictionTypeNames = std::initializer_list<std::pair<const char*, PredictionType>>;

/// `prediction_type`, epsilon by default in every class.
/// @throws Error(kUnsupported)  not one that the class knows
inline PredictionType read_prediction_type(SchedulerArguments& arguments, PredictionTypeNames known) {
  return arguments.choice<PredictionType>("prediction_type", "epsilon", known);
}

}  // namespace easel
