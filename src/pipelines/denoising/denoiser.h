// A denoising model together with its conditioner and scheduler.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "nn/run_context.h"
#include "pipelines/denoising/scheduler_config.h"
#include "pipelines/prompts/conditioner.h"

namespace easel {

class LayerTable;

/// A network that predicts the noise in latents, whatever its architecture. Immutable.
class DenoisingModel {
 public:
  virtual ~DenoisingModel() = default;

  /// One evaluation of B rows, which do not influence each other.
  /// @param sample        [B, C, h, w]: scaled latents, and the further channels that the start strategy adds; in the
  ///                      dtype of the latents, which can be wider than the model's
  /// @param timesteps     float32 [B]
  /// @param conditioning  with B rows
  /// @return              [B, C', h, w]
  /// @throws Error(kInvalidArgument)  a tensor has a shape that the model does not take; names the tensor
  /// @throws Error(kCancelled)
  virtual at::Tensor predict(const at::Tensor& sample, const at::Tensor& timesteps,
                             const DenoiserConditioning& conditioning, const RunContext& context) const = 0;

  /// Whether the guidance scale is an input of the model, which then needs no unconditional row (guidance distillation,
  /// Meng et al. 2022, arXiv:2210.03142).
  virtual bool takes_guidance_scale() const = 0;
  /// The scale as that input: float32 [1, n] on the CPU. Only for models that take it.
  virtual at::Tensor embed_guidance_scale(double guidance_scale) const = 0;

  /// The layers that adapters can change.
  virtual const std::shared_ptr<LayerTable>& layer_table() const = 0;
};

/// How the noise level of the sample is passed to a model.
enum class NoiseConditioning {
  kTimestep,
  kLogSigma,  ///< see preconditioning.h, which also describes the output of such models
};

/// A denoising model together with what it is run with.
struct Denoiser {
  std::unique_ptr<const DenoisingModel> model;
  std::unique_ptr<Conditioner> conditioner;
  SchedulerConfig scheduler_config;
  NoiseConditioning noise_conditioning = NoiseConditioning::kTimestep;
  DefaultSigmas default_sigmas = DefaultSigmas::kOfScheduler;
  MuRule mu_rule = MuRule::kLine;
  int pixels_per_token = 0;  ///< along each edge of the image; 0 where the model's input is not cut into tokens
};

}  // namespace easel
