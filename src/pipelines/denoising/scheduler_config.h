// A checkpoint's scheduler_config.json as diffusers' pipelines read it.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "checkpoints/checkpoint.h"
#include "easel/scheduler.h"

namespace easel {

/// What the reference's pipeline class changes in the file's values when it is built.
enum class SchedulerCorrections {
  kNone,                       ///< SDXL
  kStableDiffusion,            ///< SD 1.x, 2.x: `steps_offset` is 1 whatever the file says; samples are never clipped
  kStableDiffusionInpainting,  ///< the same offset; clipping as the file says; PNDM without its Runge-Kutta steps
};

/// The checkpoint's own scheduler, and the config that others are made from.
///
/// A field that the file lacks is corrected for the checkpoint's own scheduler alone; X.from_config does not see it and
/// takes X's default. Immutable; thread-safe.
class SchedulerConfig {
 public:
  /// @throws Error(kNotFound, kCorruptData, kUnsupported)  names the file
  SchedulerConfig(const Checkpoint& folder, SchedulerCorrections corrections);

  /// Request name of the checkpoint's own scheduler.
  const std::string& checkpoint_scheduler_name() const { return checkpoint_scheduler_name_; }

  std::int64_t num_train_timesteps() const {
    return checkpoint_config_.value("num_train_timesteps", std::int64_t{1000});
  }

  /// The own scheduler when `name` is its name, else the one of that name by X.from_config.
  /// @throws Error(kInvalidArgument, kUnsupported)  as easel::make_scheduler
  std::unique_ptr<Scheduler> make(const std::string& name, const SchedulerOptions& options) const;

 private:
  nlohmann::json checkpoint_config_;
  nlohmann::json from_config_;
  std::string checkpoint_scheduler_name_;
};

}  // namespace easel
