// What DPM-Solver's family has in common: DPM-Solver multistep and singlestep, DEIS, UniPC.
#pragma once

#include "easel/scheduler.h"
#include "schedulers/algorithms/dpmsolver_update.h"
#include "schedulers/schedule/dpmsolver_schedule.h"
#include "schedulers/schedule/dynamic_thresholding.h"
#include "schedulers/schedule/noise_schedule.h"
#include "schedulers/schedule/prediction_type.h"

namespace easel {

/// Base of the family: the run, its noise levels, and the model outputs that later steps need.
class DpmSolverScheduler : public Scheduler {
 public:
  void set_timesteps(std::int64_t num_inference_steps) final;
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, std::size_t step_index) const final;

 protected:
  /// What the classes of the reference differ in.
  struct Reads {
    ZeroTerminalSnr zero_terminal_snr = ZeroTerminalSnr::kIgnored;
    DpmSolverTraits run = {};
    std::int64_t max_order = 3;
    bool lower_order_final = true;  ///< its default
  };
  /// @throws Error(kUnsupported, kCorruptData)  names the field
  DpmSolverScheduler(SchedulerArguments& arguments, const Reads& reads);

  /// Begins a run and forgets the history. Overriders call it and set what else they have.
  virtual void begin(DpmSolverSchedule::Run run);
  /// Begins a run at timesteps of the caller's choice. @throws Error  as set_custom_timesteps
  void begin_at(const std::vector<double>& timesteps);

  NoiseLevel level(std::size_t index) const;
  /// The history with one output more, solver_order_ of them at most.
  std::vector<at::Tensor> outputs_with(const at::Tensor& newest) const;
  at::Tensor thresholded(const at::Tensor& original_sample) const {
    return thresholding_.enabled() ? thresholding_(original_sample) : original_sample;
  }

  NoiseSchedule schedule_;
  DpmSolverSchedule run_schedule_;
  PredictionType prediction_type_;
  std::int64_t solver_order_;
  bool lower_order_final_;
  DynamicThresholding thresholding_;
  at::Tensor sigmas_;  // [steps + 1] float32; sigmas_[i] is the noise of step i
  // History. The outputs are in the algorithm's own terms, x0 or noise; the newest last.
  std::size_t steps_done_ = 0;
  std::vector<at::Tensor> model_outputs_;
};

}  // namespace easel
