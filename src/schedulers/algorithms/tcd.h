// TCD.
#pragma once

#include "schedulers/algorithms/distilled_scheduler.h"

namespace easel {

/// Zheng et al. 2024 (arXiv:2402.19159), strategic stochastic sampling: each step goes straight to a timestep below the
/// next one, (1 - eta) of the way up from 0, and from there by fresh noise up to the next; eta 0 is deterministic.
/// Keeps no history: steps may be taken in any order. Numbers agree with diffusers 0.42.1, scheduling_tcd.py.
class TCDScheduler final : public DistilledScheduler {
 public:
  TCDScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<TCDScheduler>(*this); }
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  double eta_;
};

}  // namespace easel
