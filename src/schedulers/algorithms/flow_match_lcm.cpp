// LCM for flow matching: Luo et al. 2023 (arXiv:2310.04378), on the noise levels of flow matching.
#include "easel/noise.h"
#include "schedulers/algorithms/algorithms.h"
#include "schedulers/numerics/tensor_math.h"
#include "schedulers/schedule/flow_schedule.h"
#include "schedulers/schedule/run.h"

namespace easel {
namespace {

/// Multistep consistency sampling: each step predicts x0 and adds fresh noise of the next level to it. It keeps no
/// history, so steps may be taken in any order. Numbers agree with diffusers 0.42.1, scheduling_flow_match_lcm.py,
/// without its `scale_factors`, which change the size of an image between two steps.
class FlowMatchLCMScheduler final : public Scheduler {
 public:
  FlowMatchLCMScheduler(SchedulerArguments& arguments, const SchedulerOptions& options)
      : schedule_(arguments, options.mu) {
    const auto factors = arguments.optional_numbers("scale_factors");
    if (factors && !factors->empty()) {
      throw arguments.unsupported("scale_factors", "easel generates an image at one size; expected null");
    }
  }

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<FlowMatchLCMScheduler>(*this); }
  const std::vector<float>& timesteps() const override { return run_.timesteps(); }
  void set_begin_index(std::size_t first_step) override { run_.begin_at(first_step, order()); }
  void set_timesteps(std::int64_t num_inference_steps) override { run_ = schedule_.run(num_inference_steps); }
  void set_custom_timesteps(const std::vector<double>& timesteps) override { run_ = schedule_.run_at(timesteps); }
  void set_custom_sigmas(const std::vector<double>& sigmas) override { run_ = schedule_.run_at_sigmas(sigmas); }
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, std::size_t step_index) const override {
    run_.check_index(step_index);
    return flow_noise(original, noise, run_.sigma(step_index).to(original.scalar_type()));
  }
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  FlowSchedule schedule_;
  Run run_;
};

Scheduler::Step FlowMatchLCMScheduler::step(const at::Tensor& model_output, std::size_t step_index,
                                            const at::Tensor& half_or_float_sample, NoiseSource& noise) {
  run_.check_index(step_index);
  check_tensors(model_output, half_or_float_sample);
  const auto sigma = run_.sigma(step_index), sigma_next = run_.sigma(step_index + 1);
  const auto sample = half_or_float_sample.to(at::kFloat);
  Step result;
  result.pred_original_sample = sample - sigma * model_output;
  // The reference draws at the last step too, where the noise has no effect.
  result.prev_sample = (one_minus(sigma_next) * result.pred_original_sample + sigma_next * noise.normal_like(sample))
                           .to(model_output.scalar_type());
  return result;
}

}  // namespace

std::unique_ptr<Scheduler> make_flow_match_lcm(SchedulerArguments& arguments, const SchedulerOptions& options) {
  return std::make_unique<FlowMatchLCMScheduler>(arguments, options);
}

}  // namespace easel
