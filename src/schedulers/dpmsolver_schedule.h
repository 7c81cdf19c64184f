// Which timesteps and sigmas a DPM-Solver run visits.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "schedulers/noise_schedule.h"
#include "schedulers/scheduler_arguments.h"
#include "schedulers/sigma_schedule.h"

namespace easel {

/// Reads timestep_spacing, steps_offset, lambda_min_clipped, final_sigmas_type, flow_shift, and the flags
/// use_..._sigmas and use_lu_lambdas.
class DpmSolverSchedule {
 public:
  /// @throws Error(kUnsupported, kCorruptData)  names the field
  explicit DpmSolverSchedule(SchedulerArguments& arguments);

  struct Run {
    std::vector<float> timesteps;  // integers, falling
    at::Tensor sigmas;             // [number of timesteps + 1] float32 on the CPU
  };
  /// @throws Error(kUnsupported)  lambda_min_clipped leaves no timestep
  Run run(const NoiseSchedule& schedule, std::int64_t num_inference_steps) const;

  FinalSigma final_sigma() const { return final_sigma_; }
  /// Noise levels are those of flow matching: alpha = 1 - sigma.
  bool uses_flow_sigmas() const { return use_flow_sigmas_; }

 private:
  enum class Placement { kTraining, kKarras, kLuLambdas, kExponential, kFlow };  // of the sigmas

  static Placement read_placement(SchedulerArguments& arguments, bool use_flow_sigmas);
  std::vector<double> spaced(const NoiseSchedule& schedule, std::int64_t num_inference_steps) const;
  std::vector<double> placed_sigmas(std::span<const float> training_sigmas, std::span<const float> log_sigmas,
                                    std::int64_t num_inference_steps) const;
  std::vector<double> flow_sigmas(std::int64_t num_train_timesteps, std::int64_t num_inference_steps) const;

  TimestepSpacing timestep_spacing_;
  std::int64_t steps_offset_;
  double lambda_min_clipped_;
  bool use_flow_sigmas_;
  Placement placement_;
  bool round_timesteps_;  // else their fractions are cut off
  FinalSigma final_sigma_;
  SigmaRange sigma_range_;
  double flow_shift_ = 1.0;
};

}  // namespace easel
