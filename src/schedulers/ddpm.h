// DDPM.
#pragma once

#include "easel/scheduler.h"
#include "schedulers/dynamic_thresholding.h"
#include "schedulers/noise_schedule.h"
#include "schedulers/prediction_type.h"

namespace easel {

/// Ho et al. 2020 (arXiv:2006.11239), eq. 6 and 7: ancestral sampling; variances fixed or, as in Nichol and Dhariwal
/// 2021 (arXiv:2102.09672), learned. Draws noise in every step but one at timestep 0. Keeps no history: steps may be
/// taken in any order. Numbers agree with diffusers 0.42.1, scheduling_ddpm.py.
class DDPMScheduler final : public Scheduler {
 public:
  DDPMScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<DDPMScheduler>(*this); }
  void set_timesteps(std::int64_t num_inference_steps) override;
  void set_custom_timesteps(const std::vector<double>& timesteps) override;
  /// @param model_output  with a learned variance_type [B, 2C, h, w]: the variance lies behind the prediction
  /// @throws Error(kInvalidArgument)  also a learned variance_type without it
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  enum class Variance { kFixedSmall, kFixedSmallLog, kFixedLarge, kLearned, kLearnedRange };

  static Variance read_variance(SchedulerArguments& arguments);
  // What one step goes between. All 0-dim float32.
  struct Levels {
    at::Tensor alpha_prod, alpha_prod_prev;  // products up to this timestep and the next, lower one
    at::Tensor beta;                         // the noise that lies between them
  };
  at::Tensor original_sample_from(const at::Tensor& model_output, const at::Tensor& sample, const Levels& levels) const;
  at::Tensor deviation(const Levels& levels, const at::Tensor& predicted_variance) const;

  NoiseSchedule schedule_;
  PredictionType prediction_type_;
  Variance variance_;
  TimestepSpacing timestep_spacing_;
  std::int64_t steps_offset_;
  bool clip_sample_;
  double clip_sample_range_;
  DynamicThresholding thresholding_;
};

}  // namespace easel
