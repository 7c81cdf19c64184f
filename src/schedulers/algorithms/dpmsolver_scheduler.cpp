#include "schedulers/algorithms/dpmsolver_scheduler.h"

#include "core/text.h"
#include "schedulers/numerics/tensor_math.h"

namespace easel {

DpmSolverScheduler::DpmSolverScheduler(SchedulerArguments& arguments, const Reads& reads)
    : schedule_(read_noise_schedule(arguments, reads.zero_terminal_snr)),
      run_schedule_(arguments, reads.run),
      prediction_type_(read_prediction_type(arguments, SupportedPredictions::kAll)),
      solver_order_(arguments.integer("solver_order", 2)),
      lower_order_final_(arguments.flag("lower_order_final", reads.lower_order_final)),
      thresholding_(arguments) {
  if (solver_order_ < 1 || solver_order_ > reads.max_order) {
    throw arguments.unsupported("solver_order", concat("expected 1 to ", reads.max_order));
  }
}

void DpmSolverScheduler::set_timesteps(std::int64_t num_inference_steps) {
  check_num_inference_steps(num_inference_steps, schedule_);
  begin(run_schedule_.run(schedule_, num_inference_steps));
}

void DpmSolverScheduler::begin_at(const std::vector<double>& timesteps) {
  check_custom_timesteps(timesteps, schedule_);
  begin(run_schedule_.run_at(schedule_, timesteps));
}

void DpmSolverScheduler::begin(DpmSolverSchedule::Run run) {
  timesteps_ = std::move(run.timesteps);
  sigmas_ = run.sigmas;
  steps_done_ = 0;
  model_outputs_.clear();
}

at::Tensor DpmSolverScheduler::add_noise(const at::Tensor& original, const at::Tensor& noise,
                                         std::size_t step_index) const {
  check_step_index(step_index);
  const auto sigma = sigmas_.select(0, static_cast<std::int64_t>(step_index)).to(original.scalar_type());
  const auto mix = sigma_to_alpha_sigma(sigma, run_schedule_.uses_flow_sigmas());
  return mix.alpha * original + mix.sigma * noise;
}

NoiseLevel DpmSolverScheduler::level(std::size_t index) const {
  return noise_level(sigmas_.select(0, static_cast<std::int64_t>(index)), run_schedule_.uses_flow_sigmas());
}

std::vector<at::Tensor> DpmSolverScheduler::outputs_with(const at::Tensor& newest) const {
  auto outputs = model_outputs_;
  outputs.push_back(newest);
  if (outputs.size() > static_cast<std::size_t>(solver_order_)) outputs.erase(outputs.begin());
  return outputs;
}

}  // namespace easel
