#include "pipelines/scheduler_config.h"

#include "core/config.h"

namespace easel {

SchedulerConfig::SchedulerConfig(const CheckpointFolder& folder, SchedulerCorrections corrections) {
  const auto config = folder.source->config("scheduler");
  own_ = handed_on_ = config.object();
  if (corrections == SchedulerCorrections::kStableDiffusion) {
    if (handed_on_.contains("steps_offset")) handed_on_["steps_offset"] = 1;
    if (handed_on_.contains("clip_sample")) handed_on_["clip_sample"] = false;
    own_["steps_offset"] = 1;
    own_["clip_sample"] = false;
  }
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
