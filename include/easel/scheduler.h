// Sampling algorithms. The one public header with torch in it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace easel {

class NoiseSource;  // easel/noise.h

/// One sampling algorithm: which timesteps a run visits, and the update between two visits.
///
/// Call order: set_timesteps (scale_model_input? step)*, with step_index rising from 0. One instance serves one
/// image; not thread-safe. A step is one model evaluation, so timesteps() can be longer than num_inference_steps:
/// PNDM's has one or nine more, those of second order (Heun, DPM2, DPM-Solver SDE) have 2 * num_inference_steps - 1.
/// Numbers agree with diffusers 0.42.1, operation by operation and dtype by dtype.
class Scheduler {
 public:
  virtual ~Scheduler() = default;

  /// A copy with the same history. Cheap: tensors are shared, and step never writes into one it shares. With it a
  /// caller makes a step all-or-nothing.
  virtual std::unique_ptr<Scheduler> clone() const = 0;

  /// Starts a run. @throws Error(kInvalidArgument)  below 1, or above num_train_timesteps; param num_inference_steps
  virtual void set_timesteps(std::int64_t num_inference_steps) = 0;

  /// Starts a run through timesteps of the caller's choice, on the training axis; algorithms on whole timesteps cut off
  /// fractions. Where diffusers' set_timesteps takes `timesteps`: Euler, Heun, DPM-Solver, DDPM, LCM, TCD.
  /// @throws Error(kInvalidArgument)  not falling, outside the model's timesteps, or this algorithm takes none
  /// @throws Error(kUnsupported)      the config places sigmas by another rule; param timesteps in either case
  virtual void set_custom_timesteps(const std::vector<double>& timesteps);

  /// Starts a run through noise levels of the caller's choice, falling. Where diffusers' set_timesteps takes `sigmas`:
  /// Euler, with the last sigma (0) among them, and UniPC with `use_flow_sigmas`, without it. EDM Euler takes positions
  /// by that name: 0 to 1, rising, from its largest sigma to its smallest.
  /// @throws Error(kInvalidArgument)  not as this algorithm needs them, not finite, or it takes none; param sigmas
  virtual void set_custom_sigmas(const std::vector<double>& sigmas);

  /// Begins a run in its middle: the next step is `first_step`, without history. After set_timesteps, at most once.
  /// @throws Error(kInvalidArgument)  past the end, or no multiple of order()
  void set_begin_index(std::size_t first_step);

  /// Model evaluations that one inference step takes: 2 for algorithms of second order.
  virtual std::int64_t order() const { return 1; }

  /// `original` as noisy as the sample of a step is; between the two evaluations of an inference step, as noisy as the
  /// step's end. After set_timesteps. Reads no value of a tensor on a device.
  /// @param original, noise  [B, C, h, w], the same dtype and device; not modified
  /// @throws Error(kInvalidArgument)  step_index is past the end
  virtual at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, std::size_t step_index) const = 0;

  /// SchedulerOptions::strength has shortened the run already, which then is to be begun at its start.
  virtual bool applies_strength() const { return false; }

  /// What the model is told at each step, on the training axis; float because some algorithms visit fractions.
  const std::vector<float>& timesteps() const { return timesteps_; }

  /// Factor for the first, standard normal latents. After set_timesteps; there it depends on the spacing of timesteps.
  /// (Where the reference has a float32 number, this is that number.)
  virtual double init_noise_sigma() const { return 1.0; }

  /// What the model sees of `sample`; not modified. @return same shape, dtype and device
  virtual at::Tensor scale_model_input(const at::Tensor& sample, std::size_t step_index) const;

  struct Step {
    at::Tensor prev_sample;  ///< same shape, dtype and device as sample
    at::Tensor
        pred_original_sample;  ///< x0 as predicted here, same shape and device; can be float32 beside a half sample
  };
  /// Moves `sample` from timesteps()[step_index] to the next, less noisy one. When it throws, the history is unchanged.
  ///
  /// Never waits for the device: no value of a tensor on it is read, and schedules live on the CPU.
  /// @param model_output  [B, C, h, w], guided; meaning given by the config's prediction_type. Not modified, but the
  ///                      history may share it, so the caller must not write into it afterwards
  /// @param sample        [B, C, h, w], same dtype and device as model_output; not modified, may be shared likewise
  /// @param noise         of this image; drawn from only by stochastic algorithms
  /// @throws Error(kInvalidArgument)  shapes or devices differ, not floats; step_index is past the end, or out of order
  ///                                  where history matters (all but DDIM, DDPM, Euler, EDM,
  ///                                  LCM, TCD)
  virtual Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
                    NoiseSource& noise) = 0;

 protected:
  /// @throws Error(kInvalidArgument)  past the end
  void check_step_index(std::size_t step_index) const;
  /// For algorithms with a history. @throws Error(kInvalidArgument)  not the step that comes after `steps_done` steps
  void check_step_order(std::size_t step_index, std::size_t steps_done) const;
  std::size_t first_step() const { return first_step_; }
  /// @throws Error(kInvalidArgument)  undefined, different shapes or devices, fewer than 2 dimensions, not floats
  static void check_tensors(const at::Tensor& model_output, const at::Tensor& sample);

  std::vector<float> timesteps_;

 private:
  std::size_t first_step_ = 0;
};

/// What a request may change in a scheduler beside its config.
struct SchedulerOptions {
  double eta = 0.0;  ///< DDIM and TCD only, as diffusers passes it only where step takes it; 0 to 1
  /// LCM and TCD only: the share, 0 to 1, of the timesteps of their distillation that a run is spread over. 1 but in
  /// diffusers' LatentConsistencyModelImg2ImgPipeline, which gives its strength here too.
  double strength = 1.0;
};

/// Names a request may use, in the table's order: "pndm", "ddim", "euler", "euler_karras", "euler_exponential",
/// "euler_beta", "euler_ancestral", "dpmpp_2m", "dpmpp_2m_karras", ...
const std::vector<std::string>& scheduler_names();

/// Further names for them: customary ones and diffusers' classes, in the
/// spelling that canonical_scheduler_name reduces names to.
const std::vector<std::string>& scheduler_aliases();

/// The name of scheduler_names() that a name as people write it stands for: one of those, of scheduler_aliases(), or
/// another spelling ("Euler a", "DPM++ 2M Karras"): case does not matter, spaces, hyphens and underscores are one, and
/// "++" is "pp".
/// @throws Error(kInvalidArgument)  unknown name (param scheduler; the message lists the names)
std::string canonical_scheduler_name(const std::string& written);

/// The request name of the scheduler that a checkpoint's scheduler_config.json asks for.
/// @throws Error(kUnsupported)  its _class_name is not in the table; the message lists those that are
std::string configured_scheduler_name(const nlohmann::json& scheduler_config);

/// Makes one. An empty name means the config's own; another name follows diffusers' X.from_config(config): keys in the
/// JSON carry over, absent ones take X's own defaults, keys X does not know are dropped.
/// @param name   as canonical_scheduler_name takes it
/// @throws Error(kInvalidArgument)  unknown name (param scheduler; the message lists the names)
/// @throws Error(kUnsupported)      a config field with a value that easel does not do; names the field
std::unique_ptr<Scheduler> make_scheduler(const std::string& name, const nlohmann::json& scheduler_config,
                                          const SchedulerOptions& options = {});

}  // namespace easel
