#include "pipelines/denoising/scheduler_config.h"

#include "core/config.h"

namespace easel {

SchedulerConfig::SchedulerConfig(const CheckpointFolder& folder, SchedulerCorrections corrections) {
  const auto config = folder.source->config("scheduler");
  own_ = handed_on_ = config.object();
  const auto correct = [&](const char* key, const nlohmann::json& value) {
    if (handed_on_.contains(key)) handed_on_[key] = value;
    own_[key] = value;
  };
  if (corrections != SchedulerCorrections::kNone) correct("steps_offset", 1);
  if (corrections == SchedulerCorrections::kStableDiffusion) correct("clip_sample", false);
  if (corrections == SchedulerCorrections::kStableDiffusionInpainting) correct("skip_prk_steps", true);
  try {
    own_name_ = scheduler_name_of(own_);
  } catch (const Error& e) {
    throw Error(e.code(), config.where() + ": " + e.what());
  }
}

std::unique_ptr<Scheduler> SchedulerConfig::make(const std::string& name, const SchedulerOptions& options) const {
  const bool own = scheduler_name_for(name) == own_name_;
  return own ? make_scheduler("", own_, options) : make_scheduler(name, handed_on_, options);
}

}  // namespace easel
