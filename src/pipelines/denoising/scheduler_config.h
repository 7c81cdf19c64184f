// A checkpoint's scheduler_config.json as diffusers' pipelines read it.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "checkpoints/checkpoint.h"
#include "easel/generation.h"
#include "easel/scheduler.h"

namespace easel {

/// What the constructor of the reference's pipeline class changes in the file's values.
enum class SchedulerCorrections {
  kNone,                       ///< nothing
  kStableDiffusion,            ///< SD 1.x, 2.x: `steps_offset` is always 1, and samples are never clipped
  kStableDiffusionInpainting,  ///< the same offset, clipping from the file, PNDM without its Runge-Kutta steps
};

/// The noise levels of a run for which a request names none.
enum class DefaultSigmas {
  kOfScheduler,    ///< the scheduler places them
  kLinear,         ///< n sigmas from 1 to 1 / n in float32, which the scheduler then shifts (Z-Image)
  kLinearFloat64,  ///< the same in float64 (FLUX)
};

/// How SchedulerOptions::mu follows from the size of an image.
enum class MuRule {
  kLine,       ///< a straight line through the two points that the scheduler's config names
  kEmpirical,  ///< diffusers' compute_empirical_mu, which depends on the number of steps as well (FLUX.2)
};

/// The checkpoint's own scheduler, and the config that other schedulers are made from.
///
/// If the file lacks a corrected field, only the checkpoint's own scheduler sees the correction: X.from_config uses X's
/// default. Immutable; thread-safe.
class SchedulerConfig {
 public:
  /// @throws Error(kNotFound, kCorruptData, kUnsupported)  names the file
  SchedulerConfig(const Checkpoint& folder, SchedulerCorrections corrections);

  /// Request name of the checkpoint's own scheduler.
  const std::string& checkpoint_scheduler_name() const { return checkpoint_scheduler_name_; }

  std::int64_t num_train_timesteps() const {
    return checkpoint_config_.value("num_train_timesteps", std::int64_t{1000});
  }

  /// SchedulerOptions::mu of an image of so many tokens, which is generated in so many inference steps.
  double mu(MuRule rule, std::int64_t image_tokens, std::int64_t steps) const;

  /// The checkpoint's own scheduler if `name` is its name; otherwise the scheduler of that name by X.from_config.
  /// @throws Error(kInvalidArgument, kUnsupported)  as easel::make_scheduler
  std::unique_ptr<Scheduler> make(const std::string& name, const SchedulerOptions& options) const;

 private:
  nlohmann::json checkpoint_config_;
  nlohmann::json from_config_;
  std::string checkpoint_scheduler_name_;
};

/// Starts a run through the request's timesteps or sigmas or, without either, over its number of steps, as diffusers'
/// retrieve_timesteps does: with a list of its own, a request's num_inference_steps is ignored.
/// @throws Error(kInvalidArgument, kUnsupported)  both lists, or a list that the scheduler does not take; names the
/// field
void set_request_timesteps(Scheduler& scheduler, const GenerationRequest& request, std::int64_t default_steps,
                           DefaultSigmas default_sigmas = DefaultSigmas::kOfScheduler);

}  // namespace easel
