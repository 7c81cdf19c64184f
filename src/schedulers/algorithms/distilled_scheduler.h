// What LCM and TCD have in common, whose models were distilled on a few of the training timesteps.
#pragma once

#include "schedulers/algorithms/alpha_scheduler.h"

namespace easel {

/// Base of LCM and TCD: where a run's timesteps lie. Reads original_inference_steps, 50 by default: how many timesteps
/// the model was distilled on. SchedulerOptions::strength leaves out the noisiest of them.
class DistilledScheduler : public AlphaScheduler {
 public:
  /// Spread over the timesteps of the distillation, from the noisiest.
  /// @throws Error(kInvalidArgument)  also above original_inference_steps, or above what strength leaves of them; then
  ///                                  the param is strength
  void set_timesteps(std::int64_t num_inference_steps) final;
  /// strength leaves out the first of them.
  void set_custom_timesteps(const std::vector<double>& timesteps) final;
  bool applies_strength() const final { return strength_ < 1; }

 protected:
  /// @throws Error(kUnsupported)  original_inference_steps is not 1 to num_train_timesteps
  DistilledScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

 private:
  std::int64_t original_inference_steps_;
  std::int64_t step_ratio_;  // training timesteps from one of them to the next
  double strength_;
};

}  // namespace easel
