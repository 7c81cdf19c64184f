// Noise levels of flow matching, which the FlowMatch classes visit.
//
// Lipman et al. 2023 (arXiv:2210.02747) and Liu et al. 2023 (arXiv:2209.03003): a sample is
// (1 - sigma) * x0 + sigma * noise, and the model predicts the velocity noise - x0.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "schedulers/schedule/run.h"
#include "schedulers/schedule/scheduler_arguments.h"
#include "schedulers/schedule/sigma_schedule.h"

namespace easel {

/// Moves a noise level between 0 and 1 towards 1, so that a run spends more of its steps on noisy images: the static
/// shift s * sigma / (1 + (s - 1) * sigma), or the dynamic one, which depends on the size of the image (Esser et al.
/// 2024, arXiv:2403.03206, section 5.3.2).
class FlowSchedule {
 public:
  /// Reads num_train_timesteps, shift, use_dynamic_shifting, time_shift_type, shift_terminal, invert_sigmas and
  /// use_..._sigmas, with sigma_min and sigma_max, which other classes leave in a config.
  /// @param mu  SchedulerOptions::mu
  /// @throws Error(kUnsupported, kCorruptData)  names the field
  FlowSchedule(SchedulerArguments& arguments, std::optional<double> mu);

  /// Sigmas are [n + 1] float32, and the last one is 0, or 1 where they are inverted.
  /// @throws Error(kInvalidArgument)  num_inference_steps is below 1 or above num_train_timesteps
  /// @throws Error(kInvalidArgument)  the shift is dynamic and there is no mu
  Run run(std::int64_t num_inference_steps) const;
  /// At custom timesteps, which the model is given as they are; the sigmas that follow from them are shifted.
  /// @throws Error(kInvalidArgument)  the timesteps do not fall, or are not in 0 to num_train_timesteps
  /// @throws Error(kUnsupported)      exponential sigmas would end at 0; param timesteps
  Run run_at(const std::vector<double>& timesteps) const;
  /// At custom sigmas without the last one, to which the shift is still applied.
  /// @throws Error(kInvalidArgument)  as check_custom_sigmas
  /// @throws Error(kUnsupported)      exponential sigmas would end at 0; param sigmas
  Run run_at_sigmas(const std::vector<double>& sigmas) const;

 private:
  // The numbers of a run in the type that the reference computes them in.
  template <class Float>
  std::vector<double> placed(std::vector<Float> sigmas, const char* param) const;
  template <class Float>
  void shift(std::vector<Float>& sigmas) const;
  at::Tensor levels(const std::vector<double>& sigmas) const;
  Run with_own_timesteps(const std::vector<double>& sigmas) const;

  std::int64_t num_train_timesteps_;
  bool use_dynamic_shifting_;
  double shift_;
  bool exponential_time_shift_;  // otherwise linear
  double shift_terminal_;        // 0 stands for none
  bool invert_sigmas_;
  SigmaSpacing sigma_spacing_;
  SigmaRange sigma_range_;
  std::optional<double> mu_;
};

/// sigma * noise + (1 - sigma) * original. @param sigma  0-dim
at::Tensor flow_noise(const at::Tensor& original, const at::Tensor& noise, const at::Tensor& sigma);

}  // namespace easel
