// What schedulers have in common whose samples are x0 + sigma * eps.
#pragma once

#include "easel/scheduler.h"
#include "schedulers/schedule/sigma_schedule.h"

namespace easel {

/// Base of Euler's variants and of those after k-diffusion (Karras et al. 2022, arXiv:2206.00364).
class SigmaScheduler : public Scheduler {
 public:
  at::Tensor scale_model_input(const at::Tensor& sample, std::size_t step_index) const override;
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, std::size_t step_index) const final;

 protected:
  /// One of the run's noise levels. 0-dim float32
  at::Tensor sigma(std::size_t level) const { return sigmas_.select(0, static_cast<std::int64_t>(level)); }

  /// The noise level of what the model sees at a step.
  virtual at::Tensor sigma_seen(std::size_t step_index) const { return sigma(level_of(step_index)); }

  /// Which of the run's noise levels a step looks at; the second evaluation of an inference step counts as the level
  /// that it goes to.
  std::size_t level_of(std::size_t step_index) const {
    const auto evaluations = static_cast<std::size_t>(order());
    return (step_index + evaluations - 1) / evaluations;
  }

  at::Tensor sigmas_ = sigma_tensor({}, 1.0);  // [n + 1 or more] float32, falling
};

}  // namespace easel
