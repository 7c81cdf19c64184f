// DDPM.
#pragma once

#include "schedulers/algorithms/alpha_scheduler.h"
#include "schedulers/schedule/clipping.h"

namespace easel {

/// Ho et al. 2020 (arXiv:2006.11239), eq. 6 and 7: ancestral sampling; variances fixed or, as in Nichol and Dhariwal
/// 2021 (arXiv:2102.09672), learned. Draws noise in every step but one at timestep 0. Keeps no history: steps may be
/// taken in any order. Numbers agree with diffusers 0.42.1, scheduling_ddpm.py.
class DDPMScheduler final : public AlphaScheduler {
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
  at::Tensor std_dev(const Levels& levels, const at::Tensor& predicted_variance) const;

  Variance variance_;
  TimestepSpacing timestep_spacing_;
  std::int64_t steps_offset_;
  Clipping clipping_;
};

}  // namespace easel
