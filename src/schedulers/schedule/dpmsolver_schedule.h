// Which timesteps and sigmas the DPM-Solver family visits: DPM-Solver multistep and singlestep, DEIS, UniPC,
// SA-Solver.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "schedulers/schedule/noise_schedule.h"
#include "schedulers/schedule/run.h"
#include "schedulers/schedule/scheduler_arguments.h"
#include "schedulers/schedule/sigma_schedule.h"

namespace easel {

/// The reference's class whose rules apply.
enum class DpmSolverClass { kMultistep, kSinglestep, kDeis, kUniPC, kSaSolver };

/// Reads the noise schedule, use_..._sigmas, flow_shift, sigma_min, sigma_max, and those of timestep_spacing,
/// steps_offset, lambda_min_clipped, use_lu_lambdas and final_sigmas_type that the class reads.
class DpmSolverSchedule {
 public:
  /// @throws Error(kUnsupported, kCorruptData)  names the field
  DpmSolverSchedule(SchedulerArguments& arguments, DpmSolverClass scheduler_class);

  /// Timesteps are whole; sigmas are [number of timesteps + 1], where sigmas[i] is the noise level of step i.
  /// @throws Error(kInvalidArgument)  as check_num_inference_steps
  /// @throws Error(kUnsupported)      lambda_min_clipped leaves no timestep
  Run run(std::int64_t num_inference_steps) const;

  /// At custom timesteps, which are truncated. @throws Error(kInvalidArgument)  as check_custom_timesteps
  /// @throws Error(kUnsupported)  the sigmas do not follow the timesteps; param timesteps
  Run run_at(const std::vector<double>& timesteps) const;

  /// At custom flow sigmas, to which flow_shift is still applied. @throws Error(kInvalidArgument)  as
  /// check_custom_sigmas
  /// @throws Error(kUnsupported)  the config does not ask for flow sigmas only; param sigmas
  Run run_at_sigmas(const std::vector<double>& sigmas) const;

  FinalSigma final_sigma() const { return final_sigma_; }
  const NoiseSchedule& training() const { return schedule_; }
  /// Noise levels are those of flow matching: alpha = 1 - sigma.
  bool uses_flow_sigmas() const { return use_flow_sigmas_; }

 private:
  enum class SigmaRule { kTraining, kKarras, kLuLambdas, kExponential, kBeta, kFlow };  // for placing sigmas

  static SigmaRule read_sigma_rule(SchedulerArguments& arguments, DpmSolverClass scheduler_class, bool use_flow_sigmas);
  Run at_timesteps(const std::vector<double>& timesteps, std::span<const float> training_sigmas) const;
  Run make_run(const std::vector<double>& timesteps, const std::vector<double>& sigmas, double sigma_min) const;
  std::vector<double> spaced(std::int64_t num_inference_steps) const;
  std::vector<double> respaced_run_sigmas(std::span<const float> training_sigmas, std::span<const float> log_sigmas,
                                          std::int64_t num_inference_steps) const;
  std::vector<double> flow_sigmas(std::int64_t num_inference_steps) const;
  Run at_flow_sigmas(const std::vector<double>& sigmas) const;
  std::vector<double> shifted(std::vector<double> sigmas) const;

  // A run that ends at sigma_min ends at its own smallest sigma, not at that of training.
  bool ends_at_own_sigma() const {
    return class_ == DpmSolverClass::kDeis || class_ == DpmSolverClass::kUniPC || class_ == DpmSolverClass::kSaSolver;
  }
  // `final_sigmas_type`, which some classes do not have.
  static FinalSigma read_end(SchedulerArguments& arguments, DpmSolverClass scheduler_class);

  DpmSolverClass class_;
  NoiseSchedule schedule_;
  TimestepSpacing timestep_spacing_;
  std::int64_t steps_offset_;
  double lambda_min_clipped_;
  bool use_flow_sigmas_;
  SigmaRule sigma_rule_;
  bool round_timesteps_;  // otherwise they are truncated
  FinalSigma final_sigma_;
  SigmaRange sigma_range_;
  double flow_shift_ = 1.0;
};

}  // namespace easel
