// LMS.
#pragma once

#include "schedulers/algorithms/k_diffusion_scheduler.h"

namespace easel {

/// Linear multistep (Adams-Bashforth) in sigma, of order 4 once there is that much history; after Crowson's
/// k-diffusion. Begun in its middle, a run takes the weights of a full history from the start, as in the reference.
/// Two steps at the same noise level are refused, with param num_inference_steps. Numbers agree with diffusers 0.42.1,
/// scheduling_lms_discrete.py.
class LMSDiscreteScheduler final : public KDiffusionScheduler {
 public:
  LMSDiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<LMSDiscreteScheduler>(*this); }
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  void begin(const KDiffusionSchedule::Run& run) override;

  // History: slopes, the newest last.
  std::vector<at::Tensor> derivatives_;
};

}  // namespace easel
