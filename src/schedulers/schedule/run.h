// One run of a scheduler: which steps it takes, and how many of them are done.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace easel {

/// The steps of one run, which every algorithm holds by value. A copy shares the tensor of sigmas, which nothing writes
/// to. Not thread-safe.
class Run {
 public:
  /// No run yet: it has no steps, so every check of a step index throws.
  Run() = default;
  /// @param timesteps  the model's timestep at each step
  /// @param sigmas     the noise levels that the steps move between: float32 on the CPU, falling, one more than there
  ///                   are inference steps; undefined where the levels follow from the timesteps
  explicit Run(std::vector<float> timesteps, at::Tensor sigmas = {})
      : timesteps_(std::move(timesteps)), sigmas_(std::move(sigmas)) {}

  const std::vector<float>& timesteps() const { return timesteps_; }
  std::size_t size() const { return timesteps_.size(); }
  bool is_last(std::size_t step_index) const { return step_index + 1 == timesteps_.size(); }
  /// The timestep of a step, for algorithms that visit whole timesteps.
  std::int64_t timestep(std::size_t step_index) const { return static_cast<std::int64_t>(timesteps_[step_index]); }

  const at::Tensor& sigmas() const { return sigmas_; }
  /// One of the noise levels. 0-dim float32
  at::Tensor sigma(std::size_t level) const { return sigmas_.select(0, static_cast<std::int64_t>(level)); }

  /// The next step is `first_step`. @throws Error(kInvalidArgument)  past the end, or not a multiple of `order`
  void begin_at(std::size_t first_step, std::int64_t order);
  std::size_t first_step() const { return first_step_; }

  /// @throws Error(kInvalidArgument)  past the end
  void check_index(std::size_t step_index) const;
  /// For algorithms with a history. @throws Error(kInvalidArgument)  past the end, or not the step that comes next
  void check_next(std::size_t step_index) const;
  std::size_t steps_done() const { return steps_done_; }
  /// Counts a step as done, after everything in it that can throw.
  void advance() { ++steps_done_; }

 private:
  std::vector<float> timesteps_;
  at::Tensor sigmas_;
  std::size_t first_step_ = 0;
  std::size_t steps_done_ = 0;
};

/// @throws Error(kInvalidArgument)  step_index is not below `steps`
void check_step_index(std::size_t step_index, std::size_t steps);

/// @throws Error(kInvalidArgument)  undefined, different shapes or devices, fewer than 2 dimensions, not floats
void check_tensors(const at::Tensor& model_output, const at::Tensor& sample);

}  // namespace easel
