#include "schedulers/schedule/prediction_type.h"

namespace easel {

PredictionType read_prediction_type(SchedulerArguments& arguments, SupportedPredictions known) {
  const auto read = [&](std::initializer_list<std::pair<const char*, PredictionType>> names) {
    return arguments.choice<PredictionType>("prediction_type", "epsilon", names);
  };
  switch (known) {
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

}  // namespace easel
