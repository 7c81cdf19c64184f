// Heun for flow matching: Karras et al. 2022 (arXiv:2206.00364), on the noise levels of flow matching.
#include <ATen/TensorOperators.h>

#include "schedulers/algorithms/algorithms.h"
#include "schedulers/schedule/flow_schedule.h"
#include "schedulers/schedule/k_diffusion_schedule.h"
#include "schedulers/schedule/run.h"

namespace easel {
namespace {

/// The keys that the class has: it knows no other placement of noise levels than the static shift.
SchedulerArguments heun_arguments(SchedulerArguments& arguments) {
  return {{{"num_train_timesteps", arguments.integer("num_train_timesteps", 1000)},
           {"shift", arguments.number("shift", 1.0)}},
          nlohmann::json::object()};
}

FlowSchedule heun_schedule(SchedulerArguments& arguments) {
  auto known = heun_arguments(arguments);
  return {known, std::nullopt};
}

/// An Euler step along the predicted velocity, then the same step again with the mean of the slopes at both ends. A run
/// has 2 * num_inference_steps - 1 steps, because the last one, to noise level 0, is an Euler step. Numbers agree with
/// diffusers 0.42.1, scheduling_flow_match_heun_discrete.py.
class FlowMatchHeunDiscreteScheduler final : public Scheduler {
 public:
  explicit FlowMatchHeunDiscreteScheduler(SchedulerArguments& arguments) : schedule_(heun_schedule(arguments)) {}

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<FlowMatchHeunDiscreteScheduler>(*this); }
  const std::vector<float>& timesteps() const override { return run_.timesteps(); }
  void set_begin_index(std::size_t first_step) override { run_.begin_at(first_step, order()); }
  void set_timesteps(std::int64_t num_inference_steps) override;
  std::int64_t order() const override { return 2; }
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, std::size_t step_index) const override {
    run_.check_index(step_index);
    return flow_noise(original, noise, run_.sigma(second_order_level(step_index)));
  }
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  FlowSchedule schedule_;
  Run run_;
  // History: the sample where the Euler step started, and the slope there.
  at::Tensor sample_;
  at::Tensor derivative_;
};

void FlowMatchHeunDiscreteScheduler::set_timesteps(std::int64_t num_inference_steps) {
  const auto levels = schedule_.run(num_inference_steps);
  const auto& visited = levels.timesteps();
  run_ = Run(repeat_interleaved({visited.begin(), visited.end()}), levels.sigmas());
  sample_ = derivative_ = at::Tensor();
}

Scheduler::Step FlowMatchHeunDiscreteScheduler::step(const at::Tensor& model_output, std::size_t step_index,
                                                     const at::Tensor& half_or_float_sample, NoiseSource&) {
  run_.check_next(step_index);
  check_tensors(model_output, half_or_float_sample);
  const bool corrects = step_index % 2 == 1;
  const auto sigma_from = run_.sigma(step_index / 2), sigma_to = run_.sigma(step_index / 2 + 1);
  const auto& sigma_here = corrects ? sigma_to : sigma_from;

  const auto sample = half_or_float_sample.to(at::kFloat);
  Step result;
  result.pred_original_sample = sample - model_output * sigma_here;
  const auto derivative = (sample - result.pred_original_sample) / sigma_here;
  const auto dt = sigma_to - sigma_from;
  result.prev_sample = corrects ? sample_ + (derivative_ + derivative) * 0.5 * dt : sample + derivative * dt;
  result.prev_sample = result.prev_sample.to(model_output.scalar_type());

  sample_ = corrects ? at::Tensor() : sample;
  derivative_ = corrects ? at::Tensor() : derivative;
  run_.advance();
  return result;
}

}  // namespace

std::unique_ptr<Scheduler> make_flow_match_heun_discrete(SchedulerArguments& arguments, const SchedulerOptions&) {
  return std::make_unique<FlowMatchHeunDiscreteScheduler>(arguments);
}

}  // namespace easel
