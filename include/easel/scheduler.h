// Sampling algorithms. This is the only public header that includes torch.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace easel {

class NoiseSource;  // easel/noise.h

/// One sampling algorithm: which timesteps a run visits, and the update between two visits.
///
/// Call order: set_timesteps (scale_model_input? step)*, with step_index rising from 0. One instance serves one
/// image; not thread-safe. A step is one model evaluation, so timesteps() can be longer than num_inference_steps:
/// PNDM adds one or nine steps, and algorithms of second order (Heun, DPM2, DPM-Solver SDE) take
/// 2 * num_inference_steps - 1. Numbers agree with diffusers 0.42.1, operation by operation and dtype by dtype.
class Scheduler {
 public:
  virtual ~Scheduler() = default;

  /// A copy with the same history. Cheap: tensors are shared, and step never writes into a shared tensor. A caller
  /// that steps a copy and keeps it only on success makes the step all-or-nothing.
  virtual std::unique_ptr<Scheduler> clone() const = 0;

  /// Starts a run. @throws Error(kInvalidArgument)  below 1, or above num_train_timesteps; param num_inference_steps
  virtual void set_timesteps(std::int64_t num_inference_steps) = 0;

  /// Starts a run through the given timesteps, on the training axis; algorithms that visit whole timesteps truncate
  /// them. Supported where diffusers' set_timesteps takes `timesteps`; see SchedulerCapabilities::custom_timesteps.
  /// @throws Error(kInvalidArgument)  the timesteps do not fall, lie outside the model's timesteps, or are not
  ///                                  supported by this algorithm; param timesteps
  /// @throws Error(kUnsupported)      the config derives the sigmas from another rule; param timesteps
  virtual void set_custom_timesteps(const std::vector<double>& timesteps);

  /// Starts a run through the given noise levels, falling. Supported where diffusers' set_timesteps takes `sigmas`;
  /// see SchedulerCapabilities::custom_sigmas. Euler expects the last sigma (0) in the list; the FlowMatch
  /// classes, and UniPC, which needs `use_flow_sigmas`, expect the list without it, and still apply their shift. EDM
  /// Euler expects positions instead: 0 to 1, rising, from its largest sigma to its smallest.
  /// @throws Error(kInvalidArgument)  not as this algorithm needs them, not finite, or not supported; param sigmas
  virtual void set_custom_sigmas(const std::vector<double>& sigmas);

  /// Begins a run in its middle: the next step is `first_step`, without history. After set_timesteps, at most once.
  /// @throws Error(kInvalidArgument)  past the end, or not a multiple of order()
  virtual void set_begin_index(std::size_t first_step) = 0;

  /// Model evaluations that one inference step takes: 2 for algorithms of second order.
  virtual std::int64_t order() const { return 1; }

  /// `original` with as much noise as the sample of a step has; between the two evaluations of an inference step, with
  /// as much as at the step's end. After set_timesteps. Reads no value of a tensor on a device.
  /// @param original, noise  [B, C, h, w], the same dtype and device; not modified
  /// @throws Error(kInvalidArgument)  step_index is past the end
  virtual at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, std::size_t step_index) const = 0;

  /// The sigma that add_noise applies at a step, for algorithms whose samples are x0 + sigma * eps; nothing for the
  /// others, which also scale x0. After set_timesteps.
  /// @throws Error(kInvalidArgument)  step_index is past the end
  virtual std::optional<float> sigma(std::size_t step_index) const;

  /// True when set_timesteps has already shortened the run by SchedulerOptions::strength. Such a run starts at its
  /// first step also when it starts from an image.
  virtual bool applies_strength() const { return false; }

  /// The timestep that the model is given at each step, on the training axis; float because some algorithms visit
  /// fractions. Empty before set_timesteps.
  virtual const std::vector<float>& timesteps() const = 0;

  /// Factor for the first, standard normal latents. After set_timesteps, because it depends on the run's sigmas.
  /// (Where the reference has a float32 number, this is that number.)
  virtual double init_noise_sigma() const { return 1.0; }

  /// The model's input for `sample`, which is not modified. @return same shape, dtype and device
  /// @throws Error(kInvalidArgument)  step_index is past the end
  virtual at::Tensor scale_model_input(const at::Tensor& sample, std::size_t step_index) const;

  struct Step {
    at::Tensor prev_sample;           ///< same shape, dtype and device as sample
    at::Tensor pred_original_sample;  ///< x0 as predicted at this step; same shape and device, but it can be float32
                                      ///< where sample is a half
  };
  /// Moves `sample` from timesteps()[step_index] to the next, less noisy one. When it throws, the history is unchanged.
  ///
  /// Never waits for the device: no value of a tensor on it is read, and schedules live on the CPU.
  /// @param model_output  [B, C, h, w], guided; meaning given by the config's prediction_type. Not modified, but the
  ///                      history may share it, so the caller must not write into it afterwards
  /// @param sample        [B, C, h, w], same dtype and device as model_output; not modified, but may be shared too
  /// @param noise         the image's noise; only stochastic algorithms draw from it
  /// @throws Error(kInvalidArgument)  shapes or devices differ, a tensor is not of floats, step_index is past the end,
  ///                                  or it is out of order and SchedulerCapabilities::has_history
  virtual Step step(const at::Tensor& model_output, std::size_t step_index, const at::Tensor& sample,
                    NoiseSource& noise) = 0;
};

/// What a request may change in a scheduler in addition to its config.
struct SchedulerOptions {
  double eta = 0.0;  ///< 0 to 1; ignored unless SchedulerCapabilities::uses_eta, as diffusers passes it only there
  /// The share, 0 to 1, of the distillation's timesteps over which LCM and TCD spread a run; ignored by the others.
  /// It is 1 except in diffusers' LatentConsistencyModelImg2ImgPipeline, which passes its strength here too.
  double strength = 1.0;
  /// The shift of noise levels for the size of the image, which the FlowMatch classes need where their config has
  /// `use_dynamic_shifting`; ignored by the others.
  std::optional<double> mu = std::nullopt;
};

/// What an algorithm supports whatever its config says: the columns of the table in docs/guide/schedulers.md.
struct SchedulerCapabilities {
  std::string class_name;            ///< diffusers' class
  std::string overrides;             ///< JSON object of config values that the name sets; mostly "{}"
  std::vector<std::string> aliases;  ///< customary names, in the spelling of scheduler_aliases()
  bool sigma_spacings = false;       ///< the name can be followed by _karras, _exponential or _beta
  bool custom_timesteps = false;     ///< implements set_custom_timesteps
  bool custom_sigmas = false;        ///< implements set_custom_sigmas
  bool has_history = false;          ///< steps must be taken in order
  bool uses_eta = false;             ///< reads SchedulerOptions::eta
  bool has_sigma = false;            ///< samples are x0 + sigma * eps, and Scheduler::sigma has a value
  bool flow_matching = false;  ///< samples are (1 - sigma) * x0 + sigma * noise, and the model predicts a velocity;
                               ///< only models that were trained so can use it, and they can use no other
  std::int64_t order = 1;      ///< Scheduler::order
};

/// Names a request may use, in the table's order: "pndm", "ddim", "euler", "euler_karras", "euler_exponential",
/// "euler_beta", "euler_ancestral", "dpmpp_2m", "dpmpp_2m_karras", ...
const std::vector<std::string>& scheduler_names();

/// Further names for them: customary ones and diffusers' classes, in the
/// spelling that canonical_scheduler_name reduces names to.
const std::vector<std::string>& scheduler_aliases();

/// The name of scheduler_names() that a name as people write it stands for: one of those, one of scheduler_aliases(),
/// or another spelling ("Euler a", "DPM++ 2M Karras"). Case does not matter, spaces, hyphens and underscores are
/// equivalent, and "++" is "pp".
/// @throws Error(kInvalidArgument)  unknown name (param scheduler; the message lists the names)
std::string canonical_scheduler_name(const std::string& written);

/// What the scheduler of this name supports. A suffix such as _karras makes no difference.
/// @param name  as canonical_scheduler_name takes it
/// @throws Error(kInvalidArgument)  unknown name (param scheduler; the message lists the names)
SchedulerCapabilities scheduler_capabilities(const std::string& name);

/// The request name of the scheduler that a checkpoint's scheduler_config.json asks for.
/// @throws Error(kUnsupported)  its _class_name is not in the table; the message lists the supported classes
std::string configured_scheduler_name(const nlohmann::json& scheduler_config);

/// Makes a scheduler. An empty name means the config's own; another name follows diffusers' X.from_config(config): keys
/// in the JSON carry over, absent ones take X's own defaults, keys X does not know are dropped.
/// @param name   as canonical_scheduler_name takes it
/// @throws Error(kInvalidArgument)  unknown name (param scheduler; the message lists the names), or eta out of range
/// @throws Error(kUnsupported)      a config field has a value that easel does not support; names the field
std::unique_ptr<Scheduler> make_scheduler(const std::string& name, const nlohmann::json& scheduler_config,
                                          const SchedulerOptions& options = {});

}  // namespace easel
