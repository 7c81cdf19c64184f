#include "pipelines/denoising/scheduler_config.h"

#include "core/config.h"
#include "easel/error.h"

namespace easel {

SchedulerConfig::SchedulerConfig(const Checkpoint& folder, SchedulerCorrections corrections) {
  const auto config = folder.source->config(Component::kScheduler);
  checkpoint_config_ = from_config_ = config.object();
  const auto correct = [&](const char* key, const nlohmann::json& value) {
    if (from_config_.contains(key)) from_config_[key] = value;
    checkpoint_config_[key] = value;
  };
  if (corrections != SchedulerCorrections::kNone) correct("steps_offset", 1);
  if (corrections == SchedulerCorrections::kStableDiffusion) correct("clip_sample", false);
  if (corrections == SchedulerCorrections::kStableDiffusionInpainting) correct("skip_prk_steps", true);
  try {
    checkpoint_scheduler_name_ = configured_scheduler_name(checkpoint_config_);
  } catch (const Error& e) {
    throw Error(e.code(), config.where() + ": " + e.what());
  }
}

std::unique_ptr<Scheduler> SchedulerConfig::make(const std::string& name, const SchedulerOptions& options) const {
  const bool own = canonical_scheduler_name(name) == checkpoint_scheduler_name_;
  return own ? make_scheduler("", checkpoint_config_, options) : make_scheduler(name, from_config_, options);
}

void set_request_timesteps(Scheduler& scheduler, const GenerationRequest& request, std::int64_t default_steps) {
  if (!request.timesteps.empty() && !request.sigmas.empty()) {
    throw Error(ErrorCode::kInvalidArgument, "`sigmas` and `timesteps` cannot be combined", "sigmas");
  }
  if (!request.timesteps.empty()) {
    scheduler.set_custom_timesteps(request.timesteps);
  } else if (!request.sigmas.empty()) {
    scheduler.set_custom_sigmas(request.sigmas);
  } else {
    scheduler.set_timesteps(request.num_inference_steps.value_or(default_steps));
  }
}

}  // namespace easel
