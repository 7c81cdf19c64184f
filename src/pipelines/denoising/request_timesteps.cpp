#include "pipelines/denoising/request_timesteps.h"

#include "core/text.h"
#include "easel/error.h"
#include "pipelines/denoising/from_noise_or_image.h"

namespace easel {

void set_request_timesteps(Scheduler& scheduler, const GenerationRequest& request, std::int64_t default_steps) {
  if (!request.timesteps.empty() && !request.sigmas.empty()) {
    throw Error(ErrorCode::kInvalidArgument, "`sigmas` and `timesteps` do not go together", "sigmas");
  }
  if (!request.timesteps.empty()) {
    scheduler.set_custom_timesteps(request.timesteps);
  } else if (!request.sigmas.empty()) {
    scheduler.set_custom_sigmas(request.sigmas);
  } else {
    scheduler.set_timesteps(request.num_inference_steps.value_or(default_steps));
  }
}

std::size_t first_step_for_strength(const Scheduler& scheduler, const GenerationRequest& request,
                                    std::int64_t default_steps, double strength) {
  const auto evaluations = scheduler.timesteps().size();
  const bool own_list = !request.timesteps.empty() || !request.sigmas.empty();
  const auto steps =
      own_list ? static_cast<std::int64_t>(evaluations) : request.num_inference_steps.value_or(default_steps);
  const auto first = static_cast<std::size_t>(skipped_steps(steps, strength) * scheduler.order());
  if (first < evaluations) return first;
  throw Error(ErrorCode::kInvalidArgument,
              concat("`strength` ", strength, " of ", evaluations, " model evaluations leaves none"), "strength");
}

}  // namespace easel
