#include "schedulers/algorithms/k_diffusion_scheduler.h"

namespace easel {

KDiffusionScheduler::KDiffusionScheduler(SchedulerArguments& arguments, const NoiseScheduleDefaults& defaults,
                                         const KDiffusionTraits& traits, SupportedPredictions predictions)
    : schedule_(read_noise_schedule(arguments, ZeroTerminalSnr::kIgnored, defaults)),
      run_schedule_(arguments, traits),
      prediction_type_(read_prediction_type(arguments, predictions)) {}

void KDiffusionScheduler::set_timesteps(std::int64_t num_inference_steps) {
  check_num_inference_steps(num_inference_steps, schedule_);
  begin(run_schedule_.run(schedule_, num_inference_steps));
}

void KDiffusionScheduler::begin(const KDiffusionSchedule::Run& run) {
  timesteps_.assign(run.timesteps.begin(), run.timesteps.end());
  sigmas_ = sigma_tensor(run.sigmas, 0.0);
  steps_done_ = 0;
}

void KDiffusionScheduler::check_step(const at::Tensor& model_output, std::size_t step_index,
                                     const at::Tensor& sample) const {
  check_step_index(step_index);
  check_step_order(step_index, steps_done_);
  check_tensors(model_output, sample);
}

}  // namespace easel
