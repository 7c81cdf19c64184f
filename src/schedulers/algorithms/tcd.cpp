// TCD: Zheng et al. 2024 (arXiv:2402.19159).
#include <cmath>

#include "easel/noise.h"
#include "schedulers/algorithms/algorithms.h"
#include "schedulers/numerics/tensor_math.h"
#include "schedulers/schedule/distilled_timesteps.h"
#include "schedulers/schedule/run.h"
#include "schedulers/schedule/sample_space.h"

namespace easel {
namespace {

/// Zheng et al. 2024 (arXiv:2402.19159), strategic stochastic sampling: each step goes directly to a timestep below the
/// next one, at (1 - eta) of its height above 0, and returns from there to the next one by adding fresh noise; eta 0 is
/// deterministic. It keeps no history, so steps may be taken in any order. Numbers agree with diffusers 0.42.1,
/// scheduling_tcd.py.
class TCDScheduler final : public Scheduler {
 public:
  TCDScheduler(SchedulerArguments& arguments, const SchedulerOptions& options);

  std::unique_ptr<Scheduler> clone() const override { return std::make_unique<TCDScheduler>(*this); }
  const std::vector<float>& timesteps() const override { return run_.timesteps(); }
  void set_begin_index(std::size_t first_step) override { run_.begin_at(first_step, order()); }
  void set_timesteps(std::int64_t num_inference_steps) override {
    run_ = distilled_timesteps_.run(num_inference_steps, space_.schedule);
  }
  void set_custom_timesteps(const std::vector<double>& timesteps) override {
    run_ = distilled_timesteps_.run_at(timesteps, space_.schedule);
  }
  bool applies_strength() const override { return distilled_timesteps_.applies_strength(); }
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, std::size_t step_index) const override {
    run_.check_index(step_index);
    return space_.add_noise(original, noise, run_.timestep(step_index));
  }
  Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
            NoiseSource& noise) override;

 private:
  AlphaSpace space_;
  DistilledTimesteps distilled_timesteps_;
  double eta_;
  Run run_;
};

TCDScheduler::TCDScheduler(SchedulerArguments& arguments, const SchedulerOptions& options)
    : space_(read_distilled_space(arguments)),
      distilled_timesteps_(arguments, options, space_.schedule),
      eta_(options.eta) {}

Scheduler::Step TCDScheduler::step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
                                   NoiseSource& noise) {
  run_.check_index(step_index);
  check_tensors(model_output, sample);
  const bool last = run_.is_last(step_index);
  const float prev_timestep = last ? 0.0f : run_.timesteps()[step_index + 1];
  // In float32, as the reference multiplies a tensor of integers.
  const float timestep_s = std::floor(static_cast<float>(1 - eta_) * prev_timestep);
  const auto alpha_prod_t = space_.schedule.alpha_prod(run_.timestep(step_index));
  const auto alpha_prod_s = space_.schedule.alpha_prod(static_cast<std::int64_t>(timestep_s));

  Step result;
  result.pred_original_sample = space_.to_x0(model_output, sample, alpha_prod_t);
  const auto epsilon = space_.to_epsilon(model_output, sample, alpha_prod_t);
  result.prev_sample =
      square_root(alpha_prod_s) * result.pred_original_sample + square_root(one_minus(alpha_prod_s)) * epsilon;
  if (eta_ > 0 && !last) {
    const auto ratio = space_.schedule.alpha_prod(static_cast<std::int64_t>(prev_timestep)) / alpha_prod_s;
    result.prev_sample =
        square_root(ratio) * result.prev_sample + square_root(one_minus(ratio)) * noise.normal_like(model_output);
  }
  return result;
}

}  // namespace

std::unique_ptr<Scheduler> make_tcd(SchedulerArguments& arguments, const SchedulerOptions& options) {
  return std::make_unique<TCDScheduler>(arguments, options);
}

}  // namespace easel
