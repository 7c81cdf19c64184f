#include "pipelines/denoising/scheduler_config.h"

#include <ATen/ops/linspace.h>

#include "core/config.h"
#include "core/text.h"
#include "easel/error.h"
#include "schedulers/numerics/numpy_math.h"

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

namespace {

double empirical_mu(double tokens, double steps) {
  constexpr double kLongSequence = 4300;
  const double at_200_steps = 0.00016927 * tokens + 0.45666666;
  if (tokens > kLongSequence) return at_200_steps;
  const double at_10_steps = 8.73809524e-05 * tokens + 1.89833333;
  const double slope = (at_200_steps - at_10_steps) / 190.0;
  return slope * steps + (at_200_steps - 200.0 * slope);
}

}  // namespace

double SchedulerConfig::mu(MuRule rule, std::int64_t image_tokens, std::int64_t steps) const {
  if (rule == MuRule::kEmpirical) return empirical_mu(static_cast<double>(image_tokens), static_cast<double>(steps));
  Config config(checkpoint_config_, "scheduler_config.json");
  const auto base_length = config.get<double>("base_image_seq_len", 256),
             max_length = config.get<double>("max_image_seq_len", 4096);
  const auto base_shift = config.get<double>("base_shift", 0.5), max_shift = config.get<double>("max_shift", 1.15);
  const double slope = (max_shift - base_shift) / (max_length - base_length);
  return static_cast<double>(image_tokens) * slope + (base_shift - slope * base_length);
}

namespace {

/// In the order of operations of torch.linspace(1.0, 1 / steps, steps), or of numpy's.
std::vector<double> linear_sigmas(std::int64_t steps, DefaultSigmas kind) {
  if (steps < 1) {
    throw Error(ErrorCode::kInvalidArgument, concat("num_inference_steps is ", steps, ", expected at least 1"),
                "num_inference_steps");
  }
  const double last = 1.0 / static_cast<double>(steps);
  if (kind == DefaultSigmas::kLinearFloat64) return numpy::linspace(1.0, last, steps);
  const auto sigmas = at::linspace(1.0, last, steps, at::kFloat);
  const auto* first = sigmas.const_data_ptr<float>();
  return {first, first + sigmas.numel()};
}

}  // namespace

void set_request_timesteps(Scheduler& scheduler, const GenerationRequest& request, std::int64_t default_steps,
                           DefaultSigmas default_sigmas) {
  if (!request.timesteps.empty() && !request.sigmas.empty()) {
    throw Error(ErrorCode::kInvalidArgument, "`sigmas` and `timesteps` cannot be combined", "sigmas");
  }
  if (!request.timesteps.empty()) {
    scheduler.set_custom_timesteps(request.timesteps);
  } else if (!request.sigmas.empty()) {
    scheduler.set_custom_sigmas(request.sigmas);
  } else if (default_sigmas != DefaultSigmas::kOfScheduler) {
    scheduler.set_custom_sigmas(linear_sigmas(request.num_inference_steps.value_or(default_steps), default_sigmas));
  } else {
    scheduler.set_timesteps(request.num_inference_steps.value_or(default_steps));
  }
}

}  // namespace easel
