// DDIM.
#pragma once

#include "easel/scheduler.h"
#include "schedulers/dynamic_thresholding.h"
#include "schedulers/noise_schedule.h"
#include "schedulers/prediction_type.h"

namespace easel {

/// Song et al. 2020 (arXiv:2010.02502), eq. 12 and 16; eta 0 is deterministic, eta 1 is DDPM. Keeps no history: steps
/// may be taken in any order. Numbers agree with diffusers 0.42.1, scheduling_ddim.py.
class DDIMScheduler final : public Scheduler {
 public:
  DDIMScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<DDIMScheduler>(*this); }
  void set_timesteps(std::int64_t num_inference_steps) override;
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, std::size_t step_index) const override;
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  struct Prediction {
    at::Tensor original_sample;
    at::Tensor epsilon;
  };
  Prediction predict(const at::Tensor& model_output, const at::Tensor& sample, const at::Tensor& alpha_prod_t) const;
  at::Tensor clipped(const at::Tensor& original_sample) const;

  NoiseSchedule schedule_;
  at::Tensor final_alpha_cumprod_;  // 0-dim; what precedes timestep 0
  PredictionType prediction_type_;
  TimestepSpacing timestep_spacing_;
  std::int64_t steps_offset_;
  bool clip_sample_;
  double clip_sample_range_;
  DynamicThresholding thresholding_;
  double eta_;
  std::int64_t num_inference_steps_ = 0;
};

}  // namespace easel
