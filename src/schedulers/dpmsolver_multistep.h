// DPM-Solver and DPM-Solver++, multistep.
#pragma once

#include "easel/scheduler.h"
#include "schedulers/dpmsolver_schedule.h"
#include "schedulers/dynamic_thresholding.h"
#include "schedulers/noise_schedule.h"
#include "schedulers/prediction_type.h"

namespace easel {

/// Lu et al. 2022, DPM-Solver (arXiv:2206.00927) and DPM-Solver++ (arXiv:2211.01095): orders 1 to 3, deterministic or
/// as an SDE. The last model outputs are kept, so steps must come in order. The update of a half sample is float32.
/// Numbers agree with diffusers 0.42.1, scheduling_dpmsolver_multistep.py.
class DPMSolverMultistepScheduler final : public Scheduler {
 public:
  DPMSolverMultistepScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<DPMSolverMultistepScheduler>(*this); }
  void set_timesteps(std::int64_t num_inference_steps) override;
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, std::size_t step_index) const override;
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  enum class Algorithm { kDpmSolver, kDpmSolverPlusPlus, kSdeDpmSolver, kSdeDpmSolverPlusPlus };
  enum class SolverType { kMidpoint, kHeun };

  // One visited noise level: x = alpha * x0 + sigma * eps, and lambda = log(alpha / sigma). All 0-dim.
  struct Level {
    at::Tensor alpha, sigma, lambda;
  };
  // x_next = sample * x + d0 * D0 + d1 * D1 + d2 * D2 + noise * z, where D0 is the newest model output, and D1 and D2
  // are its divided differences. All 0-dim.
  struct Coefficients {
    at::Tensor sample, d0, d1, d2, noise;
  };

  bool solves_for_original_sample() const;
  bool is_stochastic() const;
  Level level(std::size_t index) const;
  int order_of(std::size_t step_index) const;
  at::Tensor original_sample_from(const at::Tensor& model_output, const at::Tensor& sample,
                                  std::size_t step_index) const;
  at::Tensor noise_from(const at::Tensor& model_output, const at::Tensor& sample, const Level& level) const;
  Coefficients coefficients(const Level& from, const Level& to, int order) const;

  NoiseSchedule schedule_;
  DpmSolverSchedule run_schedule_;
  PredictionType prediction_type_;
  Algorithm algorithm_;
  SolverType solver_type_;
  std::int64_t solver_order_;
  bool lower_order_final_;
  bool euler_at_final_;
  bool learned_variance_;  // the model output holds variances behind its first three channels
  DynamicThresholding thresholding_;
  at::Tensor sigmas_;  // [steps + 1] float32; sigmas_[i] is the noise of step i
  // History. The outputs are in the algorithm's own terms, x0 or noise; the newest last, solver_order_ of them at most.
  std::size_t steps_done_ = 0;
  std::vector<at::Tensor> model_outputs_;
};

}  // namespace easel
