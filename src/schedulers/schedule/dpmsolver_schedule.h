// Which timesteps and sigmas a run of DPM-Solver's family visits: DPM-Solver, UniPC, DEIS.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "schedulers/schedule/noise_schedule.h"
#include "schedulers/schedule/scheduler_arguments.h"
#include "schedulers/schedule/sigma_schedule.h"

namespace easel {

/// Where the reference's classes differ.
struct DpmSolverTraits {
  bool spaces_timesteps = true;          ///< reads timestep_spacing and steps_offset; else linspace
  bool clips_lambda = true;              ///< reads lambda_min_clipped
  bool has_lu_lambdas = true;            ///< reads use_lu_lambdas
  bool has_final_sigmas_type = true;     ///< reads it; else sigma_min
  bool ends_at_own_sigma = false;        ///< sigma_min is the run's own, where its sigmas are not those of training
  bool rounds_cosine_timesteps = false;  ///< of Karras sigmas, even with beta_schedule squaredcos_cap_v2
  bool unipc_flow = false;               ///< flow sigmas are spread, and combined with Karras', as UniPC does it
};

/// Reads use_..._sigmas, flow_shift, sigma_min, sigma_max, and what the traits say.
class DpmSolverSchedule {
 public:
  /// @throws Error(kUnsupported, kCorruptData)  names the field
  DpmSolverSchedule(SchedulerArguments& arguments, const DpmSolverTraits& traits);

  struct Run {
    std::vector<float> timesteps;  // integers, falling
    at::Tensor sigmas;             // [number of timesteps + 1] float32 on the CPU
  };
  /// @throws Error(kUnsupported)  lambda_min_clipped leaves no timestep
  Run run(const NoiseSchedule& schedule, std::int64_t num_inference_steps) const;

  /// At timesteps of the caller's choice, whose fractions are cut off.
  /// @throws Error(kUnsupported)  sigmas have a placement of their own; param timesteps
  Run run_at(const NoiseSchedule& schedule, const std::vector<double>& timesteps) const;

  /// At flow sigmas of the caller's choice, before flow_shift acts on them.
  /// @throws Error(kUnsupported)  sigmas are not those of flow matching alone; param sigmas
  Run run_at_sigmas(const NoiseSchedule& schedule, const std::vector<double>& sigmas) const;

  FinalSigma final_sigma() const { return final_sigma_; }
  /// Noise levels are those of flow matching: alpha = 1 - sigma.
  bool uses_flow_sigmas() const { return use_flow_sigmas_; }

 private:
  enum class SigmaRule { kTraining, kKarras, kLuLambdas, kExponential, kBeta, kFlow };  // of the sigmas

  static SigmaRule read_sigma_rule(SchedulerArguments& arguments, const DpmSolverTraits& traits, bool use_flow_sigmas);
  Run at_timesteps(const std::vector<double>& timesteps, std::span<const float> training_sigmas) const;
  Run finish(const std::vector<double>& timesteps, const std::vector<double>& sigmas, double sigma_min) const;
  std::vector<double> spaced(const NoiseSchedule& schedule, std::int64_t num_inference_steps) const;
  std::vector<double> respaced_run_sigmas(std::span<const float> training_sigmas, std::span<const float> log_sigmas,
                                          std::int64_t num_inference_steps) const;
  std::vector<double> flow_sigmas(std::int64_t num_train_timesteps, std::int64_t num_inference_steps) const;
  Run at_flow_sigmas(const NoiseSchedule& schedule, const std::vector<double>& sigmas) const;
  std::vector<double> shifted(std::vector<double> sigmas) const;

  DpmSolverTraits traits_;
  TimestepSpacing timestep_spacing_;
  std::int64_t steps_offset_;
  double lambda_min_clipped_;
  bool use_flow_sigmas_;
  SigmaRule sigma_rule_;
  bool round_timesteps_;  // else their fractions are cut off
  FinalSigma final_sigma_;
  SigmaRange sigma_range_;
  double flow_shift_ = 1.0;
};

}  // namespace easel
