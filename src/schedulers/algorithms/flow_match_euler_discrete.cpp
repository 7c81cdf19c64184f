// Euler for flow matching: Esser et al. 2024 (arXiv:2403.03206).
#include "easel/noise.h"
#include "schedulers/algorithms/algorithms.h"
#include "schedulers/numerics/tensor_math.h"
#include "schedulers/schedule/flow_schedule.h"
#include "schedulers/schedule/run.h"

namespace easel {
namespace {

/// Euler's method along the velocity that the model predicts or, with `stochastic_sampling`, x0 with fresh noise at
/// every step. It keeps no history, so steps may be taken in any order. Numbers agree with diffusers 0.42.1,
/// scheduling_flow_match_euler_discrete.py.
class FlowMatchEulerDiscreteScheduler final : public Scheduler {
 public:
  FlowMatchEulerDiscreteScheduler(SchedulerArguments& arguments, const SchedulerOptions& options)
      : schedule_(arguments, options.mu), stochastic_sampling_(arguments.flag("stochastic_sampling", false)) {}

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<FlowMatchEulerDiscreteScheduler>(*this); }
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
  bool stochastic_sampling_;
  Run run_;
};

Scheduler::Step FlowMatchEulerDiscreteScheduler::step(const at::Tensor& model_output, std::size_t step_index,
                                                      const at::Tensor& half_or_float_sample, NoiseSource& noise) {
  run_.check_index(step_index);
  check_tensors(model_output, half_or_float_sample);
  const auto sigma = run_.sigma(step_index), sigma_next = run_.sigma(step_index + 1);
  const auto sample = half_or_float_sample.to(at::kFloat);
  Step result;
  result.pred_original_sample = sample - sigma * model_output;
  result.prev_sample = stochastic_sampling_ ? one_minus(sigma_next) * result.pred_original_sample +
                                                  sigma_next * noise.normal_like(sample)
                                            : sample + (sigma_next - sigma) * model_output;
  result.prev_sample = result.prev_sample.to(model_output.scalar_type());
  return result;
}

}  // namespace

std::unique_ptr<Scheduler> make_flow_match_euler_discrete(SchedulerArguments& arguments,
                                                          const SchedulerOptions& options) {
  return std::make_unique<FlowMatchEulerDiscreteScheduler>(arguments, options);
}

}  // namespace easel
